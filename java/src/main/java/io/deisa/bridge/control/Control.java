package io.deisa.bridge.control;

import io.ray.api.ObjectRef;
import io.ray.api.PyActorHandle;
import io.ray.api.Ray;
import io.ray.api.exception.RayTimeoutException;
import io.ray.api.function.PyActorMethod;
import io.ray.api.function.PyFunction;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;

/**
 * A connection to Ray that runs the preparing task and calls the node actor. Requests and replies are JSON texts that
 * the Python package {@code deisa_bridge} understands; this class does not look into them.
 *
 * <p>Not thread-safe: the native library makes all its calls on one thread.
 */
public final class Control implements AutoCloseable {
    /** The namespace of deisa-ray's actors. */
    public static final String NAMESPACE = "deisa_ray";

    private static final String MODULE = "deisa_bridge.control";

    private final boolean joined;
    private boolean closed;

    private Control(boolean joined) {
        this.joined = joined;
    }

    /**
     * Loads Ray's native library before {@link #connect}, for a caller that must set it up first. Never fails.
     *
     * @param cache a folder to unpack it into once and for all, or ""
     * @return its file, or "" when it was not loaded from the cache
     */
    public static String loadLibrary(String cache) {
        String file = cache.isEmpty() ? "" : CachedLibrary.load(Path.of(cache));
        if (file.isEmpty()) {
            UnpackedLibrary.loadAhead();
        }
        return file;
    }

    /**
     * Loads Ray's library ahead of Ray.
     *
     * @param cache a folder to unpack it into once and for all, or ""
     * @return why {@link #connect} would fail, or ""
     */
    static String load(String cache) {
        try {
            Ray.isInitialized();
        } catch (LinkageError e) {
            return missing(e);
        }
        if (!cache.isEmpty() && !CachedLibrary.load(Path.of(cache)).isEmpty()) {
            return "";
        }
        String reason = UnpackedLibrary.loadAhead();
        if (reason.isEmpty()) {
            return "";
        }
        String advice = reason.contains("failed to map segment") || reason.contains("noexec")
                ? "\nIs the file system mounted noexec? Set TMPDIR, or DEISA_CACHE, to a folder from which libraries can be"
                        + " loaded."
                : "\nSet TMPDIR, or DEISA_CACHE, to a folder that can be written to.";
        return "Ray's native library cannot be loaded, neither from "
                + (cache.isEmpty() ? "a cache (there is none)" : "the cache " + cache)
                + " nor from the folder for temporary files: " + reason + advice;
    }

    private static String missing(LinkageError e) {
        return "Ray's Java library is not on the class path (" + e.getMessage() + " is missing): add ray_dist.jar,"
                + " which is in the folder ray/jars of the installed Python package ray";
    }

    /**
     * Joins Ray as a driver, or uses the Ray that this JVM has initialised before and leaves it alone at close. May
     * wait as long as Ray does: the caller watches the time.
     *
     * @param address host:port of the cluster
     * @param codeSearchPath the folder that holds the Python package {@code deisa_bridge}
     * @param nodeIp the address under which this machine's raylet is registered, or "" to let Ray choose
     * @throws ControlException when Ray cannot be joined
     */
    public static Control connect(String address, String codeSearchPath, String nodeIp) throws ControlException {
        try {
            if (Ray.isInitialized()) {
                return new Control(false);
            }
            UnpackedLibrary library = UnpackedLibrary.before();
            TemporaryProperties properties = new TemporaryProperties(properties(address, codeSearchPath, nodeIp));
            try {
                Ray.init();
            } finally {
                properties.close();
                library.removeNew();
            }
            return new Control(true);
        } catch (NoClassDefFoundError e) {
            throw new ControlException(ControlException.Kind.CONNECTION, missing(e), e);
        } catch (RuntimeException | LinkageError e) {
            String reason = Failures.describe(e);
            String advice = reason.contains("InvalidAuthToken")
                    ? "\nThe cluster wants its token: put it into ~/.ray/auth_token (on the cluster's head,"
                            + " `ray get-auth-token` prints it) or into RAY_AUTH_TOKEN, and do not set RAY_AUTH_MODE."
                    : "";
            throw new ControlException(ControlException.Kind.CONNECTION,
                    "joining Ray at " + address + " failed: " + reason + advice, e);
        }
    }

    /**
     * Runs a function of the table in {@code deisa_bridge.control} as a Ray task without CPUs and returns its reply. The
     * request gets the driver's node as {@code "ray_node_id"}.
     *
     * @param request a JSON object
     * @param timeoutMs milliseconds, at least 1
     */
    public String run(String function, String request, long timeoutMs) throws ControlException {
        return ask("the Ray task " + function + " of " + MODULE, timeoutMs, () -> { },
                () -> Ray.task(PyFunction.of(MODULE, "run", String.class), function,
                        JsonObject.with(request, "ray_node_id", nodeId())).setResource("CPU", 0.0).remote());
    }

    /** Runs the function "prepare". */
    public String prepare(String request, long timeoutMs) throws ControlException {
        return run("prepare", request, timeoutMs);
    }

    /** As below. */
    public String call(String actor, String method, String request, long timeoutMs) throws ControlException {
        return call(actor, method, request, timeoutMs, () -> { });
    }

    /**
     * Calls {@code method(request)} of a named actor and returns its reply.
     *
     * @param actor the actor's name in {@link #NAMESPACE}
     * @param timeoutMs milliseconds, at least 1
     * @param meanwhile is run when the actor has been asked
     */
    String call(String actor, String method, String request, long timeoutMs, Runnable meanwhile)
            throws ControlException {
        String what = "the call of " + method + " of the actor " + actor;
        return ask(what, timeoutMs, meanwhile, () -> {
            Optional<PyActorHandle> handle = Ray.getActor(actor, NAMESPACE);
            return handle.orElseThrow(() -> new ControlException(ControlException.Kind.CONNECTION,
                            "there is no actor " + actor + " in Ray's namespace " + NAMESPACE
                                    + ": it was never created, or it has ended"))
                    .task(PyActorMethod.of(method, String.class), request).remote();
        });
    }

    /** Whether this JVM has joined Ray before; {@link #connect} then needs no address. */
    public static boolean isInRay() {
        try {
            return Ray.isInitialized();
        } catch (LinkageError e) {
            return false;  // connect() says what is missing
        }
    }

    /** The hexadecimal id of the Ray node that this driver belongs to. */
    public String nodeId() {
        return Ray.getRuntimeContext().getCurrentNodeId().toString();
    }

    /** Leaves Ray, if {@link #connect} joined it. Does nothing the second time. */
    @Override
    public void close() {
        if (joined && !closed) {
            Ray.shutdown();
        }
        closed = true;
    }

    @FunctionalInterface
    private interface Submission {
        ObjectRef<String> submit() throws ControlException;
    }

    private String ask(String what, long timeoutMs, Runnable meanwhile, Submission submission) throws ControlException {
        if (closed) {
            throw new ControlException(ControlException.Kind.INTERNAL, what + ": the connection to Ray is closed");
        }
        try {
            long end = System.nanoTime() + timeoutMs * 1_000_000;
            ObjectRef<String> reply = submission.submit();
            meanwhile.run();
            return reply.get(Math.max(1, (end - System.nanoTime()) / 1_000_000));
        } catch (RayTimeoutException e) {
            throw new ControlException(ControlException.Kind.TIMEOUT,
                    what + " did not return within " + timeoutMs / 1000.0 + " s", e);
        } catch (RuntimeException | LinkageError e) {
            throw new ControlException(ControlException.Kind.CONNECTION, what + " failed: " + Failures.describe(e), e);
        }
    }

    private static Map<String, String> properties(String address, String codeSearchPath, String nodeIp) {
        // A property that the program's owner has set stays as it is, but for the address, which he gave us.
        return nodeIp.isEmpty() || System.getProperty("ray.node-ip") != null
                ? Map.of("ray.address", address, "ray.job.code-search-path", codeSearchPath,
                        "ray.job.namespace", NAMESPACE)
                : Map.of("ray.address", address, "ray.job.code-search-path", codeSearchPath,
                        "ray.job.namespace", NAMESPACE, "ray.node-ip", nodeIp);
    }
}
