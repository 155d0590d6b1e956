package io.deisa.bridge.control;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class RequestsTest {
    @Test
    void addsAKeyToAnObject() {
        assertEquals("{\"k\": \"v\", \"a\": 1}", Requests.with(" {\"a\": 1}\n", "k", "v"));
    }

    @Test
    void addsAKeyToAnEmptyObject() {
        assertEquals("{\"k\": \"v\"}", Requests.with("{ }", "k", "v"));
    }

    @Test
    void quotesWhatJsonQuotes() {
        assertEquals("{\"k\": \"a\\\"b\\\\c\\u000ad\u00e9\"}", Requests.with("{}", "k", "a\"b\\c\nd\u00e9"));
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "[]", "null", "{", "}"})
    void refusesWhatIsNoObject(String request) {
        assertThrows(IllegalArgumentException.class, () -> Requests.with(request, "k", "v"));
    }
}
