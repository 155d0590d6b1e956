package io.deisa.bridge.control;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class JsonObjectTest {
    @Test
    void keepsTheTextOfEachMember() {
        Map<String, String> members = JsonObject.members(
                " {\"a\" : -1.5e3,\"b\\u00e9\":{\"c\":[1, {}, \"]}\"]} , \"d\":\"x\\\"y\",\"e\":[ ],\"f\":null}\n");
        assertEquals(List.of("a", "b\u00e9", "d", "e", "f"), List.copyOf(members.keySet()));
        assertEquals(
                List.of("-1.5e3", "{\"c\":[1, {}, \"]}\"]}", "\"x\\\"y\"", "[ ]", "null"),
                List.copyOf(members.values()));
    }

    @Test
    void readsStrings() {
        assertEquals("a\"\\/\b\f\n\r\t\u00e9z", JsonObject.string("\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00E9z\""));
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "",
                "[]",
                "null",
                "{",
                "}",
                "{}x",
                "{\"a\"}",
                "{\"a\":}",
                "{\"a\":1,}",
                "{\"a\":1 \"b\":2}",
                "{\"a\":[1,]}",
                "{\"a\":[1}",
                "{\"a\":nul}",
                "{\"a\":01}",
                "{\"a\":NaN}",
                "{\"a\":\"x}",
                "{\"a\":\"\\x\"}",
                "{\"a\":\"\\u12\"}",
                "{a:1}"
            })
    void refusesWhatIsNoObject(String text) {
        assertThrows(IllegalArgumentException.class, () -> JsonObject.members(text));
    }

    @Test
    void refusesWhatIsTooDeep() {
        assertThrows(IllegalArgumentException.class, () -> JsonObject.members("{\"a\":" + "[".repeat(100_000)));
    }

    @Test
    void addsAKeyToAnObject() {
        assertEquals("{\"k\":\"v\",\"a\": 1}", JsonObject.with(" {\"a\": 1}\n", "k", "v"));
        assertEquals("{\"k\":\"v\"}", JsonObject.with("{ }", "k", "v"));
    }

    @Test
    void quotesWhatJsonQuotes() {
        assertEquals("\"a\\\"b\\\\c\\u000ad\u00e9\"", JsonObject.quote("a\"b\\c\nd\u00e9"));
    }
}
