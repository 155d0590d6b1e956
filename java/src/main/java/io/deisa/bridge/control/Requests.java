package io.deisa.bridge.control;

import io.deisa.bridge.control.ControlException.Kind;
import java.util.Map;

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
        String id = "null";
        try {
            Map<String, String> request = JsonObject.members(line);
            id = id(request);
            return "{\"id\":" + id + ",\"result\":" + result(request) + "}";
        } catch (ControlException e) {
            return error(id, e.kind(), e.getMessage());
        } catch (IllegalArgumentException e) {
            return error(id, Kind.ARGUMENT, e.getMessage());
        } catch (RuntimeException | LinkageError e) {
            return error(id, Kind.INTERNAL, Failures.describe(e));
        }
    }

    private String result(Map<String, String> request) throws ControlException {
        String method = string(request, "method");
        return switch (method) {
            case "connect" -> connect(request);
            case "run" ->
                object(connected(method)
                        .run(string(request, "function"), objectIn(request, "request"), timeoutMs(request)));
            case "call" ->
                object(connected(method)
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

    private String connect(Map<String, String> request) throws ControlException {
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
        return "{\"ray_node_id\":" + JsonObject.quote(control.nodeId()) + "}";
    }

    private Control connected(String method) {
        if (control == null) {
            throw new IllegalArgumentException(method + ": connect comes first");
        }
        return control;
    }

    private static String id(Map<String, String> request) {
        String id = request.getOrDefault("id", "null");
        return id.startsWith("{") || id.startsWith("[") ? "null" : id;
    }

    private static String string(Map<String, String> request, String name) {
        String value = request.getOrDefault(name, "");
        if (!value.startsWith("\"")) {
            throw new IllegalArgumentException(
                    "\"" + name + "\" is " + (value.isEmpty() ? "missing" : value) + ": expected a string");
        }
        return JsonObject.string(value);
    }

    private static String objectIn(Map<String, String> request, String name) {
        String value = request.getOrDefault(name, "");
        if (!value.startsWith("{")) {
            throw new IllegalArgumentException(
                    "\"" + name + "\" is " + (value.isEmpty() ? "missing" : value) + ": expected an object");
        }
        return value;
    }

    private static long timeoutMs(Map<String, String> request) {
        String value = request.getOrDefault("timeout", "");
        try {
            double seconds = Double.parseDouble(value);
            if (seconds > 0 && seconds < 1e9) {
                return Math.max(1, (long) (seconds * 1000));
            }
        } catch (NumberFormatException e) {
            // As any other wrong value.
        }
        throw new IllegalArgumentException(
                "\"timeout\" is " + (value.isEmpty() ? "missing" : value) + ": expected seconds, more than 0");
    }

    /** What Python returned, on one line. */
    private static String object(String reply) throws ControlException {
        try {
            JsonObject.members(reply);
            return reply.replace('\n', ' ').replace('\r', ' '); // between values only: in strings they are escaped
        } catch (IllegalArgumentException e) {
            throw new ControlException(Kind.INTERNAL, "the reply is not a JSON object: " + reply, e);
        }
    }

    private static String error(String id, Kind kind, String message) {
        return "{\"id\":" + id + ",\"error\":{\"kind\":\"" + kind.name().toLowerCase(java.util.Locale.ROOT)
                + "\",\"message\":" + JsonObject.quote(message) + "}}";
    }
}
