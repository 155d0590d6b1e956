package io.deisa.bridge.control;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.net.URL;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.jar.JarOutputStream;
import java.util.stream.Stream;
import java.util.zip.ZipEntry;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class CachedLibraryTest {
    @TempDir
    Path folder;

    private URL packed(String jar, String content) throws IOException {
        Path path = folder.resolve(jar);
        try (JarOutputStream out = new JarOutputStream(Files.newOutputStream(path))) {
            out.putNextEntry(new ZipEntry("native/linux/lib.so"));
            out.write(content.getBytes());
        }
        return new URL("jar:" + path.toUri() + "!/native/linux/lib.so");
    }

    private Path cache() throws IOException {
        return Files.createDirectories(folder.resolve("cache"));
    }

    private static long files(Path folder) throws IOException {
        try (Stream<Path> all = Files.list(folder)) {
            return all.count();
        }
    }

    @Test
    void isUnpackedAgainWhenItsContentsHaveChanged() throws IOException {
        URL packed = packed("a.jar", "library");
        Path file = CachedLibrary.unpacked(packed, cache());
        Files.writeString(file, "yrarbil"); // of the same size
        assertEquals(file, CachedLibrary.unpacked(packed, cache()));
        assertEquals("library", Files.readString(file));
        assertEquals(
                "rw-------",
                java.nio.file.attribute.PosixFilePermissions.toString(Files.getPosixFilePermissions(file)));
    }

    @Test
    void isUnpackedOnce() throws IOException {
        URL packed = packed("a.jar", "library");
        Path file = CachedLibrary.unpacked(packed, cache());
        assertEquals("library", Files.readString(file));
        Object inode = Files.getAttribute(file, "unix:ino");
        assertEquals(file, CachedLibrary.unpacked(packed, cache()));
        assertEquals(inode, Files.getAttribute(file, "unix:ino"));
        assertEquals(1, files(cache()));
    }

    @Test
    void anotherOneOfTheSameSizeIsAnotherFile() throws IOException {
        Path one = CachedLibrary.unpacked(packed("a.jar", "aaa"), cache());
        assertNotEquals(one, CachedLibrary.unpacked(packed("b.jar", "bbb"), cache()));
        assertEquals("aaa", Files.readString(one));
    }

    @Test
    void halfAFileIsReplaced() throws IOException {
        URL packed = packed("a.jar", "library");
        Path file = CachedLibrary.unpacked(packed, cache());
        Files.writeString(file, "lib");
        assertEquals("library", Files.readString(CachedLibrary.unpacked(packed, cache())));
    }

    @Test
    void severalMayComeAtATime() throws Exception {
        URL packed = packed("a.jar", "library".repeat(10_000));
        Path cache = cache();
        ExecutorService threads = Executors.newFixedThreadPool(8);
        try {
            Callable<Path> come = () -> CachedLibrary.unpacked(packed, cache);
            List<Path> found = new ArrayList<>();
            for (Future<Path> one : threads.invokeAll(List.of(come, come, come, come, come, come, come, come))) {
                found.add(one.get());
            }
            assertEquals(1, Set.copyOf(found).size());
            assertEquals(70_000, Files.size(found.get(0)));
            assertEquals(1, files(cache));
        } finally {
            threads.shutdownNow();
        }
    }

    @Test
    void whatNobodyLoadedForLongIsRemoved() throws IOException {
        Path old = Files.createFile(cache().resolve("libcore_worker_library_java-00000000-7.so"));
        Path others = Files.createFile(cache().resolve("classes-0.jsa"));
        for (Path each : new Path[] {old, others}) {
            Files.setLastModifiedTime(each, FileTime.from(Instant.now().minus(40, ChronoUnit.DAYS)));
        }
        CachedLibrary.unpacked(packed("a.jar", "library"), cache());
        assertFalse(Files.exists(old));
        assertTrue(Files.exists(others));
    }

    @Test
    void withoutRayItIsNotLoaded() {
        assertFalse(CachedLibrary.load(folder), "Ray's jar is not on the tests' class path");
    }
}
