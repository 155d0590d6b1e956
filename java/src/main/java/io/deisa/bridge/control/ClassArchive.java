package io.deisa.bridge.control;

import java.lang.management.ManagementFactory;
import javax.management.JMException;
import javax.management.ObjectName;

/**
 * Writes an archive of the classes that are loaded (class-data sharing), once, as {@code jcmd VM.cds dynamic_dump} does:
 * about a second, in which Java stands still. Never fails: without it, the next start takes as long as this one.
 */
final class ClassArchive implements Runnable {
    private final String file;
    private boolean written;

    ClassArchive(String file) {
        this.file = file;
    }

    @Override
    public void run() {
        if (written) {
            return;
        }
        written = true;
        try {
            ManagementFactory.getPlatformMBeanServer()
                    .invoke(
                            new ObjectName("com.sun.management:type=DiagnosticCommand"),
                            "vmCds",
                            new Object[] {new String[] {"dynamic_dump", file}},
                            new String[] {String[].class.getName()});
        } catch (JMException | RuntimeException | LinkageError e) {
            // This Java cannot.
        }
    }
}
