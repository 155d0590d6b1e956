package io.deisa.bridge.internal;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.Map;
import java.util.jar.JarFile;
import java.util.jar.JarOutputStream;
import java.util.stream.Stream;
import java.util.zip.ZipEntry;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class BundledFilesTest {
    private static final String FROM = "io/deisa/bridge/linux/";

    @TempDir
    Path folder;

    // All files have the same time, as in a reproducible build.
    private JarFile jar(String name, Map<String, String> files) throws IOException {
        Path path = folder.resolve(name);
        try (JarOutputStream out = new JarOutputStream(Files.newOutputStream(path))) {
            for (Map.Entry<String, String> file : files.entrySet()) {
                ZipEntry entry = new ZipEntry(file.getKey());
                entry.setTime(1_000_000_000_000L);
                out.putNextEntry(entry);
                out.write(file.getValue().getBytes(StandardCharsets.UTF_8));
            }
        }
        return new JarFile(path.toFile());
    }

    private JarFile jar(String name, String library) throws IOException {
        return jar(name, Map.of(FROM + "lib.so", library, FROM + "python/p/m.py", "pass", "io/Other.class", "x"));
    }

    @Test
    void anotherBuildOfTheSameSizeAndTimeIsAnotherFolder() throws IOException {
        Path cache = folder.resolve("cache");
        try (JarFile first = jar("first.jar", "old");
                JarFile second = jar("second.jar", "new")) {
            Path old = BundledFiles.unpack(first, FROM, cache);
            Path now = BundledFiles.unpack(second, FROM, cache);
            assertNotEquals(old, now);
            assertEquals("old", Files.readString(old.resolve("lib.so")));
            assertEquals("new", Files.readString(now.resolve("lib.so")));
            assertEquals("pass", Files.readString(now.resolve("python/p/m.py")));
            assertFalse(Files.exists(now.resolve("io")));
        }
    }

    @Test
    void theControlProcessGetsAJarOfItsOwn() throws IOException {
        String main = "io/deisa/bridge/control/Main.class";
        try (JarFile jar =
                jar("one.jar", Map.of(FROM + "lib.so", "x", main, "bytes", "io/deisa/bridge/Bridge.class", "y"))) {
            Path unpacked = BundledFiles.unpack(jar, FROM, folder.resolve("cache"));
            try (JarFile control =
                    new JarFile(unpacked.resolve("deisa-bridge.jar").toFile())) {
                assertEquals(main, control.stream().map(ZipEntry::getName).reduce("", String::concat));
                assertEquals(
                        "bytes",
                        new String(
                                control.getInputStream(control.getEntry(main)).readAllBytes(), StandardCharsets.UTF_8));
            }
        }
    }

    @Test
    void whatIsThereStaysAsItIs() throws IOException {
        try (JarFile jar = jar("one.jar", "library")) {
            Path unpacked = BundledFiles.unpack(jar, FROM, folder.resolve("cache"));
            Object file = Files.getAttribute(unpacked.resolve("lib.so"), "unix:ino");
            assertEquals(unpacked, BundledFiles.unpack(jar, FROM, folder.resolve("cache")));
            assertEquals(file, Files.getAttribute(unpacked.resolve("lib.so"), "unix:ino"), "others may be reading it");
            try (Stream<Path> all = Files.list(folder.resolve("cache"))) {
                assertEquals(1, all.count(), "nothing unfinished is left");
            }
        }
    }

    @Test
    void whatHasOtherContentsThanTheJarIsUnpackedAgain() throws IOException {
        Path cache = folder.resolve("new/cache");
        try (JarFile jar = jar("one.jar", "library")) {
            Path unpacked = BundledFiles.unpack(jar, FROM, cache);
            Files.writeString(unpacked.resolve("lib.so"), "yrarbil"); // of the same size
            assertEquals(unpacked, BundledFiles.unpack(jar, FROM, cache));
            assertEquals("library", Files.readString(unpacked.resolve("lib.so")));
            Files.delete(unpacked.resolve("python/p/m.py"));
            BundledFiles.unpack(jar, FROM, cache);
            assertEquals("pass", Files.readString(unpacked.resolve("python/p/m.py")));
        }
    }

    @Test
    void whatNobodyUsedForLongIsRemoved() throws IOException {
        Path cache = Files.createDirectories(folder.resolve("cache"));
        Path old = Files.createDirectories(cache.resolve("deisa-bridge-0123"));
        Files.createFile(old.resolve("lib.so"));
        Path others = Files.createDirectories(cache.resolve("opencv"));
        for (Path each : new Path[] {old, others}) {
            Files.setLastModifiedTime(each, FileTime.from(Instant.now().minus(40, ChronoUnit.DAYS)));
        }
        try (JarFile jar = jar("one.jar", "library")) {
            BundledFiles.unpack(jar, FROM, cache);
        }
        assertFalse(Files.exists(old));
        assertTrue(Files.exists(others));
    }

    @Test
    void aFolderThatCannotBeMadeIsAnError() throws IOException {
        Path file = Files.createFile(folder.resolve("file"));
        try (JarFile jar = jar("one.jar", "library")) {
            assertThrows(IOException.class, () -> BundledFiles.unpack(jar, FROM, file));
        }
    }
}
