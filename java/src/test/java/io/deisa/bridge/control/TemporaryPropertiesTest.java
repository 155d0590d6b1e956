package io.deisa.bridge.control;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import java.util.Map;
import org.junit.jupiter.api.Test;

class TemporaryPropertiesTest {
    @Test
    void putsTheOldValuesBack() {
        System.setProperty("deisa.test.set", "old");
        System.clearProperty("deisa.test.unset");
        TemporaryProperties properties =
                new TemporaryProperties(Map.of("deisa.test.set", "new", "deisa.test.unset", "new"));
        assertEquals("new", System.getProperty("deisa.test.set"));
        assertEquals("new", System.getProperty("deisa.test.unset"));
        properties.close();
        assertEquals("old", System.getProperty("deisa.test.set"));
        assertNull(System.getProperty("deisa.test.unset"));
        System.clearProperty("deisa.test.set");
    }
}
