package io.deisa.bridge.control;

import java.io.IOException;
import java.io.InputStream;
import java.lang.reflect.Field;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Path;
import java.util.Collections;
import java.util.Enumeration;

/**
 * Loads Ray's jar, and this package with it, apart from the classes of a Java simulation. A simulation then needs no Ray on
 * its class path, its own versions of the libraries that are in Ray's jar are not mixed with those, and what Ray logs stays
 * out of its output: in the file that the environment variable DEISA_JVM_LOG names, or nowhere.
 */
final class RayLoader extends URLClassLoader {
    private static final String PACKAGE = RayLoader.class.getPackageName() + ".";
    private static final String LOG_SETTINGS = "log4j2.xml";

    static {
        registerAsParallelCapable();
    }

    private final ClassLoader simulation = RayLoader.class.getClassLoader();

    private RayLoader(Path rayJar) throws IOException {
        super("deisa-ray", new URL[] {rayJar.toUri().toURL()}, ClassLoader.getPlatformClassLoader());
    }

    /**
     * The loader to load {@link Control} with: that of this class when Ray is on its class path, since the program then
     * has its own use for Ray, else a new one. Called by the native library, once.
     *
     * @param rayJar the installed Ray's ray_dist.jar, or "" when there is none
     * @return null when Ray is on no class path and {@code rayJar} is ""
     */
    static ClassLoader choose(String rayJar) throws IOException {
        ClassLoader own = RayLoader.class.getClassLoader();
        if (own.getResource("io/ray/api/Ray.class") != null) {
            return own;
        }
        if (rayJar.isEmpty()) {
            return null;
        }
        RayLoader loader = new RayLoader(Path.of(rayJar));
        loader.keepLogSettings();
        return loader;
    }

    @Override
    protected Class<?> findClass(String name) throws ClassNotFoundException {
        if (!name.startsWith(PACKAGE)) {
            return super.findClass(name);
        }
        // These name Ray's classes, so they must be defined beside them.
        try (InputStream in = simulation.getResourceAsStream(name.replace('.', '/') + ".class")) {
            if (in == null) {
                throw new ClassNotFoundException(name);
            }
            byte[] bytes = in.readAllBytes();
            return defineClass(name, bytes, 0, bytes.length);
        } catch (IOException e) {
            throw new ClassNotFoundException(name, e);
        }
    }

    @Override
    public URL getResource(String name) {
        return name.equals(LOG_SETTINGS) ? logSettings() : super.getResource(name);
    }

    @Override
    public Enumeration<URL> getResources(String name) throws IOException {
        URL settings = name.equals(LOG_SETTINGS) ? logSettings() : null;
        return settings == null ? super.getResources(name) : Collections.enumeration(Collections.singleton(settings));
    }

    private static URL logSettings() {
        String file = System.getenv("DEISA_JVM_LOG");
        return RayLoader.class.getResource(file == null || file.isEmpty() ? "ray-no-log.xml" : "ray-log.xml");
    }

    /** Ray replaces the settings by its own, which write to the console, unless it believes that it has done so. */
    private void keepLogSettings() {
        try {
            Field done = Class.forName("io.ray.runtime.util.LoggingUtil", true, this).getDeclaredField("setup");
            done.setAccessible(true);
            done.setBoolean(null, true);
        } catch (ReflectiveOperationException | LinkageError | RuntimeException e) {
            // An internal class of Ray: when it has changed, Ray's lines are seen.
        }
    }
}
