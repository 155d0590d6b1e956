package io.deisa.bridge.internal;

import java.nio.ByteBuffer;
import java.util.List;
import java.util.Locale;

/** What Java needs to know of the native library's rules, before it calls it. */
public final class Environment {
    private Environment() {}

    /** The option that opens {@code java.nio} to Arrow's classes, which are in this module; "" when it is open. */
    public static String missingFlag(Module arrow) {
        return ByteBuffer.class.getModule().isOpen("java.nio", arrow)
                ? ""
                : "--add-opens=java.base/java.nio=" + (arrow.isNamed() ? arrow.getName() : "ALL-UNNAMED");
    }

    /** Whether DEISA_DISABLE is true, read as the native library reads it, which refuses other words. */
    public static boolean isDisabled() {
        String value = System.getenv("DEISA_DISABLE");
        return value != null && List.of("1", "true", "yes", "on").contains(value.toLowerCase(Locale.ROOT));
    }
}
