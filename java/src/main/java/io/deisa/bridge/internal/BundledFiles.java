package io.deisa.bridge.internal;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.net.JarURLConnection;
import java.net.URL;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.FileTime;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.Comparator;
import java.util.List;
import java.util.jar.JarEntry;
import java.util.jar.JarFile;
import java.util.jar.JarOutputStream;
import java.util.stream.Stream;
import java.util.zip.CRC32;
import java.util.zip.CheckedInputStream;
import org.bytedeco.javacpp.Loader;

/**
 * The native libraries and the Python package in the platform's jar, unpacked into JavaCPP's cache. Their folder is named
 * after their contents: JavaCPP itself goes by the time and size of a file, and these are the same in builds that differ.
 */
final class BundledFiles {
    private static final String PREFIX = "deisa-bridge-";
    /** The classes of the control process, which needs no others but Ray's. */
    private static final String CONTROL = "io/deisa/bridge/control/";

    private static final int DAYS_KEPT = 30;

    private BundledFiles() {}

    /** The folder of the unpacked files; null when the classes are not in a jar that has them. */
    static Path unpack() {
        String from = "io/deisa/bridge/" + Loader.getPlatform() + "/";
        URL resource = BundledFiles.class.getResource("/" + from);
        if (resource == null || !resource.getProtocol().equals("jar")) {
            return null;
        }
        try {
            JarFile jar = ((JarURLConnection) resource.openConnection()).getJarFile(); // Java's own: not to be closed
            return unpack(jar, from, Loader.getCacheDir().toPath());
        } catch (IOException problem) {
            throw new UncheckedIOException(
                    "the native libraries cannot be unpacked into JavaCPP's cache: " + problem, problem);
        }
    }

    /**
     * Unpacks what is below {@code from} in the jar into a folder of {@code cache}, whole or not at all, with a jar of the control
     * process's classes, where the native library looks for it.
     */
    static Path unpack(JarFile jar, String from, Path cache) throws IOException {
        List<JarEntry> entries = below(from, jar);
        List<JarEntry> control = below(CONTROL, jar);
        Path folder = cache.resolve(
                PREFIX + key(Stream.concat(entries.stream(), control.stream()).toList()));
        if (Files.isDirectory(folder)) {
            if (isWhole(folder, from, entries)) {
                keep(folder);
                return folder;
            }
            remove(folder);
        }
        Files.createDirectories(
                cache, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
        Path unfinished = Files.createTempDirectory(cache, PREFIX + "unfinished-");
        try {
            for (JarEntry entry : entries) {
                Path file = unfinished.resolve(entry.getName().substring(from.length()));
                Files.createDirectories(file.getParent());
                try (InputStream in = jar.getInputStream(entry)) {
                    Files.copy(in, file);
                }
            }
            if (!control.isEmpty()) {
                copy(control, jar, unfinished.resolve("deisa-bridge.jar"));
            }
            try {
                Files.move(unfinished, folder, StandardCopyOption.ATOMIC_MOVE);
            } catch (FileSystemException problem) {
                if (!Files.isDirectory(folder)) {
                    throw problem;
                }
                // Another process was faster, with the same contents.
            }
        } finally {
            remove(unfinished);
        }
        removeOld(cache);
        return folder;
    }

    // Whether each file has the contents that the jar gives it: they are run.
    private static boolean isWhole(Path folder, String from, List<JarEntry> entries) throws IOException {
        for (JarEntry entry : entries) {
            Path file = folder.resolve(entry.getName().substring(from.length()));
            if (!Files.isRegularFile(file) || Files.size(file) != entry.getSize() || checksum(file) != entry.getCrc()) {
                return false;
            }
        }
        return true;
    }

    private static long checksum(Path file) throws IOException {
        CRC32 sum = new CRC32();
        try (InputStream in = new CheckedInputStream(Files.newInputStream(file), sum)) {
            in.transferTo(OutputStream.nullOutputStream());
        }
        return sum.getValue();
    }

    private static List<JarEntry> below(String folder, JarFile jar) {
        return jar.stream()
                .filter(entry -> entry.getName().startsWith(folder) && !entry.isDirectory())
                .toList();
    }

    private static void copy(List<JarEntry> entries, JarFile from, Path file) throws IOException {
        try (JarOutputStream out = new JarOutputStream(Files.newOutputStream(file))) {
            for (JarEntry entry : entries) {
                out.putNextEntry(new JarEntry(entry.getName()));
                try (InputStream in = from.getInputStream(entry)) {
                    in.transferTo(out);
                }
            }
        }
    }

    private static String key(List<JarEntry> entries) {
        CRC32 names = new CRC32();
        CRC32 contents = new CRC32();
        for (JarEntry entry : entries) {
            names.update(entry.getName().getBytes(StandardCharsets.UTF_8));
            contents.update((entry.getCrc() + "," + entry.getSize() + ";").getBytes(StandardCharsets.US_ASCII));
        }
        return String.format("%08x%08x", names.getValue(), contents.getValue());
    }

    // Of the folder, its time says when it was used last.
    private static void keep(Path folder) {
        try {
            Files.setLastModifiedTime(folder, FileTime.from(Instant.now()));
        } catch (IOException readOnly) {
            // It is used all the same.
        }
    }

    /** What no process has used for a month, of other builds and of processes that were killed. Never fails. */
    private static void removeOld(Path cache) {
        Instant limit = Instant.now().minus(DAYS_KEPT, ChronoUnit.DAYS);
        try (Stream<Path> folders = Files.list(cache)) {
            for (Path folder : folders.toList()) {
                if (folder.getFileName().toString().startsWith(PREFIX)
                        && Files.isDirectory(folder)
                        && Files.getLastModifiedTime(folder).toInstant().isBefore(limit)) {
                    remove(folder);
                }
            }
        } catch (IOException inUse) {
            // Another time.
        }
    }

    private static void remove(Path folder) {
        try (Stream<Path> files = Files.walk(folder)) {
            for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
                Files.deleteIfExists(file);
            }
        } catch (IOException gone) {
            // It was moved, or another process removes it.
        }
    }
}
