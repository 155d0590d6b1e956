package io.deisa.bridge.control;

import java.io.BufferedReader;
import java.io.FileDescriptor;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;

/**
 * The control process in Java, see docs/control.md: answers the requests that come on descriptor 0, which is a socket, and
 * ends when they end.
 */
public final class Main {
    private static final String HELLO = "{\"hello\":\"deisa-control\",\"version\":1,\"language\":\"java\"}";

    private Main() {}

    /** Never returns. */
    public static void main(String[] arguments) {
        try {
            BlockingQueue<String> lines = new LinkedBlockingQueue<>();
            Thread reader = new Thread(() -> read(lines), "deisa-requests");
            reader.setDaemon(true);
            reader.start();
            keepQuiet();
            OutputStream out = new FileOutputStream(FileDescriptor.in);
            Requests requests =
                    new Requests(System.getProperty("deisa.cache", ""), System.getProperty("deisa.archive", ""));
            send(out, HELLO);
            for (; ; ) {
                send(out, requests.answer(lines.take()));
            }
        } catch (IOException e) {
            end(); // the parent has gone
        } catch (Throwable e) {
            e.printStackTrace();
            end();
        }
    }

    private static void read(BlockingQueue<String> lines) {
        try (BufferedReader in = new BufferedReader(
                new InputStreamReader(new FileInputStream(FileDescriptor.in), StandardCharsets.UTF_8))) {
            for (String line = in.readLine(); line != null; line = in.readLine()) {
                lines.add(line);
            }
        } catch (IOException e) {
            // As at its end.
        } finally {
            end();
        }
    }

    private static void send(OutputStream out, String line) throws IOException {
        out.write((line + "\n").getBytes(StandardCharsets.UTF_8));
    }

    /**
     * The settings of Ray's logging library that are in its jar, and those that Ray makes while it joins a cluster, have it
     * say a dozen lines at every start, which would push the words that matter out of sight.
     */
    private static void keepQuiet() {
        System.setProperty(
                "log4j2.configurationFile",
                Main.class.getResource("ray-no-log.xml").toString());
        try {
            Field done = Class.forName("io.ray.runtime.util.LoggingUtil").getDeclaredField("setup");
            done.setAccessible(true);
            done.setBoolean(null, true);
        } catch (ReflectiveOperationException | LinkageError | RuntimeException e) {
            // An internal class of Ray: when it has changed, the lines are there.
        }
    }

    /**
     * At once: a shutdown of Ray may take long, and no process waits for it. Java's own ways to end a process run the destructors of
     * Ray's library while its threads go on, and then it may crash or hang. So this process kills itself, which
     * {@link ProcessHandle} refuses.
     */
    private static void end() {
        try {
            Method kill = Class.forName("java.lang.ProcessHandleImpl")
                    .getDeclaredMethod("destroy0", long.class, long.class, boolean.class);
            kill.setAccessible(true);
            kill.invoke(null, ProcessHandle.current().pid(), 0L, true);
        } catch (ReflectiveOperationException | RuntimeException e) {
            // Another Java.
        }
        Runtime.getRuntime().halt(1);
    }
}
