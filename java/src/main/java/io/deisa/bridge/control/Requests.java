package io.deisa.bridge.control;

import com.google.gson.JsonElement;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import io.deisa.bridge.control.ControlException.Kind;
import java.util.Locale;

/** Answers the requests of docs/control.md, line by line. */
final class Requests {
    private final String loadError;
    private final Runnable beforeWaiting;
    private Control control; // null: not connected

    /**
     * Loads Ray's library, so that it is there when an address is known.
     *
     * @param cache a folder to unpack it into once and for all, or ""
     * @param archive a file to write an archive of Java's classes to, or ""
     */
    Requests(String cache, String archive) {
        loadError = Control.load(cache);
        beforeWaiting = archive.isEmpty() ? () -> {} : new ClassArchive(archive);
    }

    /** The reply to one request. */
    String answer(String line) {
        JsonObject reply = new JsonObject();
        reply.add("id", JsonNull.INSTANCE);
        try {
            JsonObject request = Json.object(line);
            JsonElement id = request.get("id");
            if (id != null && id.isJsonPrimitive()) {
                reply.add("id", id);
            }
            reply.add("result", result(request));
        } catch (ControlException e) {
            reply.add("error", error(e.kind(), e.getMessage()));
        } catch (IllegalArgumentException e) {
            reply.add("error", error(Kind.ARGUMENT, e.getMessage()));
        } catch (RuntimeException | LinkageError e) {
            reply.add("error", error(Kind.INTERNAL, Failures.describe(e)));
        }
        return reply.toString();
    }

    private JsonObject result(JsonObject request) throws ControlException {
        String method = string(request, "method");
        return switch (method) {
            case "connect" -> connect(request);
            case "run" ->
                returned(connected(method)
                        .run(string(request, "function"), objectIn(request, "request"), timeoutMs(request)));
            case "call" ->
                returned(connected(method)
                        .call(
                                string(request, "actor"),
                                string(request, "actor_method"),
                                objectIn(request, "request"),
                                timeoutMs(request),
                                beforeWaiting));
            default ->
                throw new IllegalArgumentException("the method is \"" + method + "\": expected connect, run or call");
        };
    }

    private JsonObject connect(JsonObject request) throws ControlException {
        if (control != null) {
            throw new IllegalArgumentException("connect: this process has joined Ray before");
        }
        String address = string(request, "address");
        String nodeIp = string(request, "node_ip");
        String pythonPath = string(request, "python_path");
        timeoutMs(request); // which only the parent can watch: Ray.init takes no limit
        if (!loadError.isEmpty()) {
            throw new ControlException(Kind.CONNECTION, loadError);
        }
        control = Control.connect(address, pythonPath, nodeIp);
        JsonObject joined = new JsonObject();
        joined.addProperty("ray_node_id", control.nodeId());
        return joined;
    }

    private Control connected(String method) {
        if (control == null) {
            throw new IllegalArgumentException(method + ": connect comes first");
        }
        return control;
    }

    private static String string(JsonObject request, String name) {
        JsonElement value = request.get(name);
        if (value == null
                || !value.isJsonPrimitive()
                || !value.getAsJsonPrimitive().isString()) {
            throw wrong(name, value, "a string");
        }
        return value.getAsString();
    }

    private static JsonObject objectIn(JsonObject request, String name) {
        JsonElement value = request.get(name);
        if (value == null || !value.isJsonObject()) {
            throw wrong(name, value, "an object");
        }
        return value.getAsJsonObject();
    }

    private static long timeoutMs(JsonObject request) {
        JsonElement value = request.get("timeout");
        if (value != null
                && value.isJsonPrimitive()
                && value.getAsJsonPrimitive().isNumber()) {
            double seconds = value.getAsDouble();
            if (seconds > 0 && seconds < 1e9) {
                return Math.max(1, (long) (seconds * 1000));
            }
        }
        throw wrong("timeout", value, "seconds, more than 0");
    }

    private static IllegalArgumentException wrong(String name, JsonElement value, String expected) {
        return new IllegalArgumentException(
                "\"" + name + "\" is " + (value == null ? "missing" : value) + ": expected " + expected);
    }

    /** What Python returned. */
    private static JsonObject returned(String reply) throws ControlException {
        try {
            return Json.object(reply);
        } catch (IllegalArgumentException e) {
            throw new ControlException(Kind.INTERNAL, "the reply is not a JSON object: " + reply, e);
        }
    }

    private static JsonObject error(Kind kind, String message) {
        JsonObject error = new JsonObject();
        error.addProperty("kind", kind.name().toLowerCase(Locale.ROOT));
        error.addProperty("message", message);
        return error;
    }
}
