package io.deisa.bridge.internal;

import java.io.File;
import java.nio.file.Path;
import java.util.Objects;
import java.util.Properties;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.bytedeco.javacpp.Loader;

/**
 * Loads the native libraries, before JavaCPP looks for those of its subclass {@link Native} itself. They come from the
 * classpath (folder {@code io/deisa/bridge/linux-x86_64}), or from the folder that the system property {@code
 * deisa.library.path} names.
 */
class Libraries extends Binding {
    /** System property: the folder of {@code libjnideisa.so} and {@code libdeisa*.so}, taken before the classpath. */
    private static final String LIBRARY_PATH = "deisa.library.path";

    static {
        load();
    }

    private static void load() {
        String folder = System.getProperty(LIBRARY_PATH);
        Path unpacked = BundledFiles.unpack();
        String folders = Stream.of(folder, unpacked)
                .filter(Objects::nonNull)
                .map(Object::toString)
                .collect(Collectors.joining(File.pathSeparator));
        if (folders.isEmpty()) {
            Loader.load(Native.class);
            return;
        }
        Properties properties = Loader.loadProperties();
        properties.setProperty("platform.linkpath", folders);
        properties.setProperty("platform.preloadpath", folders);
        Loader.load(Native.class, properties, true);
    }
}
