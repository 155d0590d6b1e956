package io.deisa.bridge.control;

import java.util.LinkedHashMap;
import java.util.Map;

/**
 * The members of a JSON object, each as the text that it has there: what is inside of them is for others to read. No JSON
 * library is sure to be on the class path.
 */
final class JsonObject {
    private static final int DEEPEST = 200;

    private final String text;
    private int at;
    private int depth;

    private JsonObject(String text) {
        this.text = text;
    }

    /**
     * Names and texts of the values, in their order.
     *
     * @throws IllegalArgumentException when {@code text} is anything but one JSON object
     */
    static Map<String, String> members(String text) {
        JsonObject json = new JsonObject(text);
        json.skipSpace();
        Map<String, String> members = json.object();
        json.skipSpace();
        if (json.at != text.length()) {
            throw json.wrong("the end");
        }
        return members;
    }

    /**
     * The value of a JSON string.
     *
     * @throws IllegalArgumentException when {@code text} is not that of a string
     */
    static String string(String text) {
        JsonObject json = new JsonObject(text);
        String value = json.string();
        if (json.at != text.length()) {
            throw json.wrong("the end");
        }
        return value;
    }

    /**
     * Adds a key to a JSON object, as its first.
     *
     * @param object the text of a JSON object that does not have the key
     */
    static String with(String object, String key, String value) {
        String rest = object.strip().substring(1).stripLeading();
        return "{" + quote(key) + ":" + quote(value) + (rest.equals("}") ? "" : ",") + rest;
    }

    /** The text as a JSON string. */
    static String quote(String text) {
        StringBuilder quoted = new StringBuilder("\"");
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            if (c == '"' || c == '\\') {
                quoted.append('\\').append(c);
            } else if (c < ' ') {
                quoted.append(String.format("\\u%04x", (int) c));
            } else {
                quoted.append(c);
            }
        }
        return quoted.append('"').toString();
    }

    private Map<String, String> object() {
        Map<String, String> members = new LinkedHashMap<>();
        enter('{');
        while (!leave('}', members.isEmpty())) {
            String name = string();
            skipSpace();
            expect(':');
            skipSpace();
            int begin = at;
            value();
            members.put(name, text.substring(begin, at));
        }
        return members;
    }

    private void value() {
        switch (peek()) {
            case '{' -> object();
            case '[' -> {
                enter('[');
                for (boolean first = true; !leave(']', first); first = false) {
                    value();
                }
            }
            case '"' -> string();
            default -> word();
        }
    }

    /** A number, true, false or null. */
    private void word() {
        int begin = at;
        while (at < text.length()
                && (Character.isLetterOrDigit(text.charAt(at)) || "+-.".indexOf(text.charAt(at)) >= 0)) {
            at++;
        }
        if (!text.substring(begin, at).matches("true|false|null|-?(0|[1-9][0-9]*)(\\.[0-9]+)?([eE][+-]?[0-9]+)?")) {
            at = begin;
            throw wrong("a value");
        }
    }

    private String string() {
        expect('"');
        StringBuilder value = new StringBuilder();
        for (char c = next(); c != '"'; c = next()) {
            value.append(c == '\\' ? escaped(next()) : c);
        }
        return value.toString();
    }

    private char escaped(char c) {
        int known = "\"\\/bfnrt".indexOf(c);
        if (known >= 0) {
            return "\"\\/\b\f\n\r\t".charAt(known);
        }
        if (c == 'u' && at + 4 <= text.length() && text.substring(at, at + 4).matches("[0-9a-fA-F]{4}")) {
            at += 4;
            return (char) Integer.parseInt(text.substring(at - 4, at), 16);
        }
        at--;
        throw wrong("an escaped character");
    }

    private void enter(char bracket) {
        expect(bracket);
        if (++depth > DEEPEST) {
            throw wrong("at most " + DEEPEST + " levels");
        }
    }

    /** Whether the object or array ends here; else its next element begins here. */
    private boolean leave(char bracket, boolean first) {
        skipSpace();
        if (peek() == bracket) {
            at++;
            depth--;
            return true;
        }
        if (!first) {
            expect(',');
            skipSpace();
        }
        return false;
    }

    private void skipSpace() {
        while (at < text.length() && " \t\r\n".indexOf(text.charAt(at)) >= 0) {
            at++;
        }
    }

    private char peek() {
        return at < text.length() ? text.charAt(at) : '\0';
    }

    private char next() {
        if (at == text.length()) {
            throw wrong("the end of a string");
        }
        return text.charAt(at++);
    }

    private void expect(char c) {
        if (peek() != c) {
            throw wrong("'" + c + "'");
        }
        at++;
    }

    private IllegalArgumentException wrong(String expected) {
        return new IllegalArgumentException("not a JSON object: expected " + expected + " at character " + at);
    }
}
