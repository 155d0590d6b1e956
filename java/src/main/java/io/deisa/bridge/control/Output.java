package io.deisa.bridge.control;

import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;

/**
 * Where Java's own output goes in a JVM that the native library started. Ray's log lines would otherwise be mixed into the
 * simulation's output. Only Java's {@code System.out} and {@code System.err} change, no file descriptor.
 */
final class Output {
    private Output() {}

    private static final class Redirected extends PrintStream {
        Redirected(OutputStream sink) {
            super(sink, true, StandardCharsets.UTF_8);
        }
    }

    /**
     * Called by the native library, before anything that logs. Does nothing the second time.
     *
     * @param file a file to append to, or "" to drop the output
     */
    static void redirect(String file) throws IOException {
        if (System.out instanceof Redirected) {
            return;
        }
        OutputStream sink = file.isEmpty() ? OutputStream.nullOutputStream() : new FileOutputStream(file, true);
        PrintStream stream = new Redirected(sink);
        System.setOut(stream);
        System.setErr(stream);
    }
}
