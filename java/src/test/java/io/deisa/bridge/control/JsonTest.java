package io.deisa.bridge.control;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import com.google.gson.JsonObject;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class JsonTest {
    @Test
    void keepsWhatItReads() {
        JsonObject object = Json.object(
                " {\"a\" : -1.5e3,\"b\\u00e9\":{\"c\":[1, {}, \"]}\"]} , \"d\":\"x\\\"y\",\"e\":[ ],\"f\":null,\"g\":9007199254740993}\n");
        assertEquals(
                "{\"a\":-1.5e3,\"b\u00e9\":{\"c\":[1,{},\"]}\"]},\"d\":\"x\\\"y\",\"e\":[],\"f\":null,\"g\":9007199254740993}",
                object.toString());
    }

    @Test
    void readsStrings() {
        assertEquals(
                "a\"\\/\b\f\n\r\t\u00e9z",
                Json.object("{\"s\":\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00E9z\"}")
                        .get("s")
                        .getAsString());
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
        assertThrows(IllegalArgumentException.class, () -> Json.object(text));
    }

    @Test
    void refusesWhatIsTooDeep() {
        assertThrows(IllegalArgumentException.class, () -> Json.object("{\"a\":" + "[".repeat(100_000)));
    }
}
