package io.deisa.bridge.internal;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class JsonTest {
    @Test
    void writesWhatMetadataAreMadeOf() {
        Map<String, Object> map = new LinkedHashMap<>();
        map.put("list", Arrays.asList(1, 2L, null, true));
        map.put("array", new long[] {3, -4});
        map.put("nested", new Object[] {Map.of(), List.of(), 2.5});
        assertEquals("{\"list\":[1,2,null,true],\"array\":[3,-4],\"nested\":[{},[],2.5]}", Json.write(map));
    }

    @Test
    void escapesStrings() {
        assertEquals("\"a\\\"b\\\\c\\u0000\\u000a\u00e9\"", Json.write("a\"b\\c\0\n\u00e9"));
    }

    @Test
    void writesStringsForWhatJsonCannotExpress() {
        assertEquals(
                "[\"NaN\",\"-Infinity\",\"NEW\"]",
                Json.write(List.of(Double.NaN, Float.NEGATIVE_INFINITY, Thread.State.NEW)));
    }
}
