package io.deisa.bridge.internal;

import java.util.List;
import java.util.Locale;

/** What Java needs to know of the native library's rules, before it calls it. */
public final class Environment {
  private Environment() {}

  /** Whether DEISA_DISABLE is true, read as the native library reads it, which refuses other words. */
  public static boolean isDisabled() {
    String value = System.getenv("DEISA_DISABLE");
    return value != null && List.of("1", "true", "yes", "on").contains(value.toLowerCase(Locale.ROOT));
  }
}
