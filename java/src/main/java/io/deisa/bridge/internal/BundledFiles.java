package io.deisa.bridge.internal;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.JarURLConnection;
import java.net.URL;
import java.util.List;
import java.util.jar.JarEntry;
import java.util.jar.JarFile;
import org.bytedeco.javacpp.Loader;

/** What libdeisa looks for beside itself: its communicators, the node actor's library and the Python package. */
final class BundledFiles {
  private BundledFiles() {}

  /**
   * Unpacks them from the platform's jar to where JavaCPP unpacks libdeisa. A file that is there already stays as it is:
   * other ranks, and Ray's workers, may be reading it. Does nothing when the classes are not in a jar.
   */
  static void unpack() {
    String folder = "io/deisa/bridge/" + Loader.getPlatform() + "/";
    URL resource = BundledFiles.class.getResource("/" + folder);
    if (resource == null || !resource.getProtocol().equals("jar")) {
      return;
    }
    try {
      JarFile jar = ((JarURLConnection) resource.openConnection()).getJarFile(); // Java's own: not to be closed
      for (String name : names(jar, folder)) {
        Loader.cacheResource(BundledFiles.class.getResource("/" + name));
      }
    } catch (IOException problem) {
      throw new UncheckedIOException(problem);
    }
  }

  // JavaCPP unpacks the other libraries itself.
  private static List<String> names(JarFile jar, String folder) {
    return jar.stream()
        .filter(entry -> !entry.isDirectory())
        .map(JarEntry::getName)
        .filter(name -> name.startsWith(folder + "libdeisa_") || name.startsWith(folder + "python/"))
        .toList();
  }
}
