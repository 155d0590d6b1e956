package io.deisa.bridge.control;

/** The little that is done to requests on their way: no JSON library is on the class path. */
final class Requests {
    private Requests() {}

    /**
     * Adds a key to a JSON object, as its first.
     *
     * @param object the text of a JSON object that does not have the key
     * @throws IllegalArgumentException when it is not the text of an object
     */
    static String with(String object, String key, String value) {
        String text = object.strip();
        if (!text.startsWith("{") || !text.endsWith("}")) {
            throw new IllegalArgumentException("a request must be a JSON object, but is: " + object);
        }
        String rest = text.substring(1).stripLeading();
        return "{" + quote(key) + ": " + quote(value) + (rest.equals("}") ? "" : ", ") + rest;
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
}
