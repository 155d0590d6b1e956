package io.deisa.bridge.control;

import com.google.gson.Gson;
import com.google.gson.JsonObject;
import com.google.gson.JsonParseException;
import com.google.gson.TypeAdapter;
import com.google.gson.stream.JsonReader;
import com.google.gson.stream.JsonToken;
import java.io.IOException;
import java.io.StringReader;

/** Reads JSON with the Gson that is part of Ray's jar: 2.9.1 in Ray 2.48, 2.11.0 in 2.60. */
final class Json {
    private static final TypeAdapter<JsonObject> OBJECTS = new Gson().getAdapter(JsonObject.class);

    private Json() {}

    /**
     * Numbers keep their text.
     *
     * @throws IllegalArgumentException when {@code text} is anything but one JSON object
     */
    static JsonObject object(String text) {
        JsonReader reader = new JsonReader(new StringReader(text)); // strict, unlike JsonParser
        try {
            JsonObject object = OBJECTS.read(reader);
            if (reader.peek() == JsonToken.END_DOCUMENT) {
                return object;
            }
            throw new IllegalArgumentException("not a JSON object: something comes after it");
        } catch (IOException | JsonParseException | IllegalStateException | StackOverflowError e) {
            throw new IllegalArgumentException("not a JSON object: " + e.getMessage(), e);
        }
    }
}
