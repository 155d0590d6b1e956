package io.deisa.bridge.control;

import java.util.HashMap;
import java.util.Map;

/** Sets system properties and puts the old ones back at close: the JVM may belong to a simulation. */
final class TemporaryProperties implements AutoCloseable {
    private final Map<String, String> before = new HashMap<>();

    TemporaryProperties(Map<String, String> properties) {
        properties.forEach((name, value) -> before.put(name, System.setProperty(name, value)));
    }

    @Override
    public void close() {
        before.forEach((name, value) -> {
            if (value == null) {
                System.clearProperty(name);
            } else {
                System.setProperty(name, value);
            }
        });
    }
}
