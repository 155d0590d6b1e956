package io.deisa.bridge.internal;

import java.util.List;

/** What Java needs to know of the native library's rules, before it calls it. */
public final class Environment {
  private Environment() {}

  /** Whether DEISA_DISABLE is set, read as the native library reads it. */
  public static boolean isDisabled() {
    String value = System.getenv("DEISA_DISABLE");
    return value != null && List.of("1", "true", "yes", "on", "TRUE", "True", "ON").contains(value);
  }
}
