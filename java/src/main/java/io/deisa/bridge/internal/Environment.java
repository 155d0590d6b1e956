package io.deisa.bridge.internal;

import io.deisa.bridge.DType;
import java.lang.reflect.Array;
import java.util.List;
import java.util.Map;

/** What Java needs to know of the native library's rules, before it calls it. */
public final class Environment {
  private Environment() {}

  /** Whether DEISA_DISABLE is set, read as the native library reads it. */
  public static boolean isDisabled() {
    String value = System.getenv("DEISA_DISABLE");
    return value != null && List.of("1", "true", "yes", "on", "TRUE", "True", "ON").contains(value);
  }

  /** Bytes of one chunk with metadata that the native library accepted; -1 when they say none (it accepts all if disabled). */
  public static long chunkBytes(Map<String, ?> metadata) {
    try {
      long bytes = DType.ofNumpyName((String) metadata.get("dtype")).orElseThrow().size();
      Object shape = metadata.get("chunk_shape");
      Object extents = shape instanceof List<?> list ? list.toArray() : shape;
      for (int i = 0; i < Array.getLength(extents); i++) {
        bytes = Math.multiplyExact(bytes, ((Number) Array.get(extents, i)).longValue());
      }
      return bytes;
    } catch (RuntimeException notAccepted) {
      return -1;
    }
  }
}
