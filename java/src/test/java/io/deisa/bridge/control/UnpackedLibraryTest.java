package io.deisa.bridge.control;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class UnpackedLibraryTest {
    @Test
    void findsOnlyWhatADriverUnpacked() {
        String maps =
                """
                7f0000000000-7f0000001000 r-xp 00000000 08:01 1    /usr/lib/x86_64-linux-gnu/libc.so.6
                7f1000000000-7f1000001000 r--p 00000000 08:01 2    /tmp/ray/1763877959747/libcore_worker_library_java.so
                7f1000001000-7f1000002000 r-xp 00001000 08:01 2    /tmp/ray/1763877959747/libcore_worker_library_java.so
                7f2000000000-7f2000001000 r-xp 00000000 08:01 3    /tmp/ray/session_x/libcore_worker_library_java.so
                7f3000000000-7f3000001000 r-xp 00000000 08:01 4    /tmp/ray/1/libcore_worker_library_java.so (deleted)
                7f4000000000-7f4000001000 r-xp 00000000 08:01 5    /home/me/2/libcore_worker_library_java.so
                """;
        assertEquals(
                Set.of(Path.of("/tmp/ray/1763877959747/libcore_worker_library_java.so")), UnpackedLibrary.in(maps));
    }

    @Test
    void removesTheFolder(@TempDir Path parent) throws IOException {
        Path folder = Files.createDirectory(parent.resolve("1"));
        Path library = Files.createFile(folder.resolve("libcore_worker_library_java.so"));
        Files.createFile(folder.resolve("file_lock"));
        UnpackedLibrary.remove(library);
        assertFalse(Files.exists(folder));
    }

    @Test
    void keepsAFolderWithSomethingElse(@TempDir Path parent) throws IOException {
        Path library = Files.createFile(parent.resolve("libcore_worker_library_java.so"));
        Path other = Files.createFile(parent.resolve("other"));
        UnpackedLibrary.remove(library);
        assertFalse(Files.exists(library));
        assertTrue(Files.exists(other));
    }
}
