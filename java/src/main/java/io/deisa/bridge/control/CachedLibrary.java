package io.deisa.bridge.control;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.lang.reflect.Field;
import java.net.JarURLConnection;
import java.net.URL;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.FileTime;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.Locale;
import java.util.Set;
import java.util.jar.JarEntry;
import java.util.stream.Stream;
import java.util.zip.CRC32;
import java.util.zip.CheckedInputStream;

/**
 * Ray's native library, unpacked once into a cache: unpacking the 40 MB and loading JNA for it takes longer than all else that
 * Java does in a start. Goes by internals of Ray; when those have changed, nothing is done here.
 */
final class CachedLibrary {
    private static final String NAME = "core_worker_library_java";
    private static final String PREFIX = "lib" + NAME + "-";
    private static final int DAYS_KEPT = 30;

    private CachedLibrary() {}

    /**
     * Loads it and marks it as loaded for Ray.
     *
     * @param cache a folder of this user's alone
     * @return false when it is not loaded because something is not as it is known to be
     */
    @SuppressWarnings("unchecked")
    static boolean load(Path cache) {
        try {
            Class<?> owner = Class.forName("io.ray.runtime.util.JniUtils");
            Field field = owner.getDeclaredField("loadedLibs");
            field.setAccessible(true);
            Set<String> loaded = (Set<String>) field.get(null);
            URL packed = owner.getResource("/native/linux/" + System.mapLibraryName(NAME));
            if (loaded.contains(NAME) || packed == null || !packed.getProtocol().equals("jar")) {
                return false;
            }
            Path file = unpacked(packed, cache);
            System.load(file.toString());
            loaded.add(NAME);
            return true;
        } catch (IOException | ReflectiveOperationException | RuntimeException | LinkageError e) {
            return false;
        }
    }

    /** The file in the cache. It is named after its contents, and is there whole or not at all. */
    static Path unpacked(URL packed, Path cache) throws IOException {
        JarEntry entry = ((JarURLConnection) packed.openConnection()).getJarEntry();
        Path file = cache.resolve(String.format(Locale.ROOT, "%s%08x-%d.so", PREFIX, entry.getCrc(), entry.getSize()));
        if (Files.isRegularFile(file) && Files.size(file) == entry.getSize() && checksum(file) == entry.getCrc()) {
            Files.setLastModifiedTime(file, FileTime.from(Instant.now())); // it is in use
            return file;
        }
        Path unfinished = Files.createTempFile(cache, PREFIX, ".unfinished");
        // Not Files.copy, which would make the file anew, with the umask's mode.
        try (InputStream in = packed.openStream();
                OutputStream out = Files.newOutputStream(unfinished)) {
            in.transferTo(out);
            try (FileChannel channel = FileChannel.open(unfinished, StandardOpenOption.WRITE)) {
                channel.force(true); // before the name is: a crash of the machine must not leave half of it
            }
            // Other processes that have the old file go on with it.
            Files.move(unfinished, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
        } finally {
            Files.deleteIfExists(unfinished);
        }
        removeOld(cache);
        return file;
    }

    private static long checksum(Path file) throws IOException {
        CRC32 sum = new CRC32();
        try (InputStream in = new CheckedInputStream(Files.newInputStream(file), sum)) {
            in.transferTo(OutputStream.nullOutputStream());
        }
        return sum.getValue();
    }

    /** What was not loaded for a month, of other versions and of processes that were killed. Never fails. */
    private static void removeOld(Path cache) {
        Instant limit = Instant.now().minus(DAYS_KEPT, ChronoUnit.DAYS);
        try (Stream<Path> files = Files.list(cache)) {
            for (Path file : files.toList()) {
                if (file.getFileName().toString().startsWith(PREFIX)
                        && Files.getLastModifiedTime(file).toInstant().isBefore(limit)) {
                    Files.deleteIfExists(file);
                }
            }
        } catch (IOException e) {
            // Another time.
        }
    }
}
