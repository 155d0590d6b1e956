package io.deisa.bridge.control;

import com.google.gson.JsonObject;
import io.ray.api.ObjectRef;
import io.ray.api.PyActorHandle;
import io.ray.api.Ray;
import io.ray.api.exception.RayTimeoutException;
import io.ray.api.function.PyActorMethod;
import io.ray.api.function.PyFunction;
import java.nio.file.Path;
import java.util.Optional;

/**
 * A connection to Ray that runs functions of the Python package {@code deisa_bridge} and calls the node actor. Requests and
 * replies are JSON texts; this class does not look into them. It is never left: the process ends.
 */
final class Control {
    /** The namespace of deisa-ray's actors. */
    static final String NAMESPACE = "deisa_ray";

    private static final String MODULE = "deisa_bridge.control";

    private Control() {}

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
            return "Ray's Java library is not on the class path (" + e.getMessage() + " is missing): add ray_dist.jar,"
                    + " which is in the folder ray/jars of the installed Python package ray";
        }
        if (!cache.isEmpty() && CachedLibrary.load(Path.of(cache))) {
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

    /**
     * Joins Ray as a driver. May wait as long as Ray does: the caller watches the time.
     *
     * @param address host:port of the cluster
     * @param codeSearchPath the folder that contains the Python package {@code deisa_bridge}
     * @param nodeIp the address under which this machine's raylet is registered, or "" to let Ray choose
     * @throws ControlException when Ray cannot be joined
     */
    static Control connect(String address, String codeSearchPath, String nodeIp) throws ControlException {
        System.setProperty("ray.address", address);
        System.setProperty("ray.job.code-search-path", codeSearchPath);
        System.setProperty("ray.job.namespace", NAMESPACE);
        if (!nodeIp.isEmpty() && System.getProperty("ray.node-ip") == null) { // which DEISA_JVM_OPTIONS may set
            System.setProperty("ray.node-ip", nodeIp);
        }
        UnpackedLibrary library = UnpackedLibrary.before();
        try {
            Ray.init();
            return new Control();
        } catch (RuntimeException | LinkageError e) {
            String reason = Failures.describe(e);
            String advice = reason.contains("InvalidAuthToken")
                    ? "\nThe cluster wants its token: put it into ~/.ray/auth_token (on the cluster's head,"
                            + " `ray get-auth-token` prints it) or into RAY_AUTH_TOKEN, and do not set RAY_AUTH_MODE."
                    : "";
            throw new ControlException(
                    ControlException.Kind.CONNECTION, "joining Ray at " + address + " failed: " + reason + advice, e);
        } finally {
            library.removeNew();
        }
    }

    /**
     * Runs a function of the table in {@code deisa_bridge.control} as a Ray task without CPUs and returns its reply. The
     * request gets the driver's node as {@code "ray_node_id"}.
     *
     * @param timeoutMs milliseconds, at least 1
     */
    String run(String function, JsonObject request, long timeoutMs) throws ControlException {
        request.addProperty("ray_node_id", nodeId());
        return ask("the Ray task " + function + " of " + MODULE, timeoutMs, () -> {}, () -> Ray.task(
                        PyFunction.of(MODULE, "run", String.class), function, request.toString())
                .setResource("CPU", 0.0)
                .remote());
    }

    /**
     * Calls {@code method(request)} of a named actor and returns its reply.
     *
     * @param actor the actor's name in {@link #NAMESPACE}
     * @param timeoutMs milliseconds, at least 1
     * @param meanwhile is run when the actor has been asked
     */
    String call(String actor, String method, JsonObject request, long timeoutMs, Runnable meanwhile)
            throws ControlException {
        String what = "the call of " + method + " of the actor " + actor;
        return ask(what, timeoutMs, meanwhile, () -> {
            Optional<PyActorHandle> handle = Ray.getActor(actor, NAMESPACE);
            return handle.orElseThrow(() -> new ControlException(
                            ControlException.Kind.CONNECTION,
                            "there is no actor " + actor + " in Ray's namespace " + NAMESPACE
                                    + ": it was never created, or it has ended"))
                    .task(PyActorMethod.of(method, String.class), request.toString())
                    .remote();
        });
    }

    /** The hexadecimal id of the Ray node that this driver belongs to. */
    String nodeId() {
        return Ray.getRuntimeContext().getCurrentNodeId().toString();
    }

    @FunctionalInterface
    private interface Submission {
        ObjectRef<String> submit() throws ControlException;
    }

    private static String ask(String what, long timeoutMs, Runnable meanwhile, Submission submission)
            throws ControlException {
        try {
            long end = System.nanoTime() + timeoutMs * 1_000_000;
            ObjectRef<String> reply = submission.submit();
            meanwhile.run();
            return reply.get(Math.max(1, (end - System.nanoTime()) / 1_000_000));
        } catch (RayTimeoutException e) {
            throw new ControlException(
                    ControlException.Kind.TIMEOUT, what + " did not return within " + timeoutMs / 1000.0 + " s", e);
        } catch (RuntimeException | LinkageError e) {
            throw new ControlException(ControlException.Kind.CONNECTION, what + " failed: " + Failures.describe(e), e);
        }
    }
}
