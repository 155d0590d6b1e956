package io.deisa.bridge.control;

import java.io.IOException;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Ray's native library on disk. When Ray starts, it unpacks 40 MB into a new folder {@code /tmp/ray/<milliseconds>}, loads
 * the library and forgets the folder. Once the library is loaded its file is not needed any more.
 */
final class UnpackedLibrary {
    private static final String NAME = "core_worker_library_java";
    private static final Path MAPS = Path.of("/proc/self/maps");
    private static final Pattern UNPACKED = Pattern.compile("(?m) (/tmp/ray/[0-9]+/libcore_worker_library_java\\.so)$");

    private static final Path FOLDER = Path.of("/tmp/ray");

    private final Set<Path> loadedBefore;
    private final boolean folderBefore;

    private UnpackedLibrary(Set<Path> loadedBefore, boolean folderBefore) {
        this.loadedBefore = loadedBefore;
        this.folderBefore = folderBefore;
    }

    /**
     * Loads Ray's library ahead of Ray, from a folder that is removed at once. Goes by an internal class of Ray: when that
     * has changed, this does nothing, and Ray loads it itself.
     *
     * @return why no library can be loaded from there, or ""
     */
    static String loadAhead() {
        Path folder = null;
        try {
            Method load = Class.forName("io.ray.runtime.util.JniUtils")
                    .getMethod("loadLibrary", String.class, String.class, boolean.class);
            folder = Files.createTempDirectory("deisa-ray-");
            load.invoke(null, folder.toString(), NAME, true);
            return "";
        } catch (InvocationTargetException e) {
            return Failures.describe(e.getCause());
        } catch (IOException e) {
            return Failures.describe(e);
        } catch (ReflectiveOperationException | LinkageError e) {
            return ""; // Ray will say what is wrong, if anything is
        } finally {
            if (folder != null) {
                remove(folder.resolve(System.mapLibraryName(NAME)));
            }
        }
    }

    /** Call before Ray starts, so that {@link #removeNew} keeps a library that was loaded before. */
    static UnpackedLibrary before() {
        return new UnpackedLibrary(loaded(), Files.exists(FOLDER));
    }

    /** Removes what Ray has unpacked and loaded since. Never fails: at worst a folder stays. */
    void removeNew() {
        for (Path library : loaded()) {
            if (!loadedBefore.contains(library)) {
                remove(library);
            }
        }
        if (!folderBefore) {
            // Unlike Ray's own, it would be closed to the machine's other users.
            removeIfEmpty(FOLDER);
        }
    }

    /** The unpacked libraries in a text of the form of {@code /proc/self/maps}. */
    static Set<Path> in(String maps) {
        Set<Path> found = new TreeSet<>();
        Matcher matcher = UNPACKED.matcher(maps);
        while (matcher.find()) {
            found.add(Path.of(matcher.group(1)));
        }
        return found;
    }

    /** Removes the library, Ray's lock file beside it, and their folder if nothing else is in it. */
    static void remove(Path library) {
        try {
            Files.deleteIfExists(library);
            Files.deleteIfExists(library.resolveSibling("file_lock"));
        } catch (IOException e) {
            // The connection works all the same.
        }
        removeIfEmpty(library.getParent());
    }

    private static void removeIfEmpty(Path folder) {
        try {
            Files.deleteIfExists(folder);
        } catch (IOException e) {
            // It is in use: DirectoryNotEmptyException. Or it stays: see above.
        }
    }

    private static Set<Path> loaded() {
        try {
            // Paths are bytes: one of them need not be UTF-8.
            return in(Files.readString(MAPS, StandardCharsets.ISO_8859_1));
        } catch (IOException e) {
            return Set.of();
        }
    }
}
