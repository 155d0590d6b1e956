package io.deisa.bridge;

import java.time.Duration;

/**
 * Options of a bridge. Start from {@link #defaults()}. Each has an environment variable ({@code DEISA_COMM_TIMEOUT}, ...)
 * and a key in the settings file that {@code DEISA_CONFIG} names; both take precedence. They are checked when the bridge is opened, all together.
 *
 * @param commTimeout of the rendezvous and of a barrier
 * @param readyTimeout of all that {@link BridgeBuilder#open()} waits for once the ranks have met; the least of all ranks'
 *     counts
 * @param sendTimeout of one wait in a send, a step or a flush
 * @param nodeId the node's name; null: this node of Ray. Tests name several nodes on one machine
 * @param nodeActor {@code "module:Class"} of the node actor; null: deisa-ray's own, extended
 * @param initRetries attempts to create the node actor, at least 1
 * @param acknowledge when a send returns
 * @param maxInFlight steps held for this rank outside the object store, at least 1
 * @param backPressure what happens while a timestep may not begin, and when that is
 * @param errorMode what happens to a failure that is not a violation of the contract
 * @param errorHandler where such failures go in mode {@link ErrorMode#REPORT}; null: stderr
 */
public record Options(
        Duration commTimeout,
        Duration readyTimeout,
        Duration sendTimeout,
        String nodeId,
        String nodeActor,
        int initRetries,
        Acknowledge acknowledge,
        int maxInFlight,
        BackPressure backPressure,
        ErrorMode errorMode,
        ErrorHandler errorHandler) {

    /** The defaults of {@code DEISA_OPTIONS_INIT}. */
    public static Options defaults() {
        return new Options(
                Duration.ofSeconds(120),
                Duration.ofSeconds(600),
                Duration.ofSeconds(120),
                null,
                null,
                3,
                Acknowledge.RECEIVED,
                2,
                BackPressure.defaults(),
                ErrorMode.REPORT,
                null);
    }

    public Options withCommTimeout(Duration value) {
        return new Options(
                value,
                readyTimeout,
                sendTimeout,
                nodeId,
                nodeActor,
                initRetries,
                acknowledge,
                maxInFlight,
                backPressure,
                errorMode,
                errorHandler);
    }

    public Options withReadyTimeout(Duration value) {
        return new Options(
                commTimeout,
                value,
                sendTimeout,
                nodeId,
                nodeActor,
                initRetries,
                acknowledge,
                maxInFlight,
                backPressure,
                errorMode,
                errorHandler);
    }

    public Options withSendTimeout(Duration value) {
        return new Options(
                commTimeout,
                readyTimeout,
                value,
                nodeId,
                nodeActor,
                initRetries,
                acknowledge,
                maxInFlight,
                backPressure,
                errorMode,
                errorHandler);
    }

    public Options withNodeId(String value) {
        return new Options(
                commTimeout,
                readyTimeout,
                sendTimeout,
                value,
                nodeActor,
                initRetries,
                acknowledge,
                maxInFlight,
                backPressure,
                errorMode,
                errorHandler);
    }

    public Options withNodeActor(String value) {
        return new Options(
                commTimeout,
                readyTimeout,
                sendTimeout,
                nodeId,
                value,
                initRetries,
                acknowledge,
                maxInFlight,
                backPressure,
                errorMode,
                errorHandler);
    }

    public Options withInitRetries(int value) {
        return new Options(
                commTimeout,
                readyTimeout,
                sendTimeout,
                nodeId,
                nodeActor,
                value,
                acknowledge,
                maxInFlight,
                backPressure,
                errorMode,
                errorHandler);
    }

    public Options withAcknowledge(Acknowledge value) {
        return new Options(
                commTimeout,
                readyTimeout,
                sendTimeout,
                nodeId,
                nodeActor,
                initRetries,
                value,
                maxInFlight,
                backPressure,
                errorMode,
                errorHandler);
    }

    public Options withMaxInFlight(int value) {
        return new Options(
                commTimeout,
                readyTimeout,
                sendTimeout,
                nodeId,
                nodeActor,
                initRetries,
                acknowledge,
                value,
                backPressure,
                errorMode,
                errorHandler);
    }

    public Options withBackPressure(BackPressure value) {
        return new Options(
                commTimeout,
                readyTimeout,
                sendTimeout,
                nodeId,
                nodeActor,
                initRetries,
                acknowledge,
                maxInFlight,
                value,
                errorMode,
                errorHandler);
    }

    /** Failures are thrown. */
    public Options raisingErrors() {
        return new Options(
                commTimeout,
                readyTimeout,
                sendTimeout,
                nodeId,
                nodeActor,
                initRetries,
                acknowledge,
                maxInFlight,
                backPressure,
                ErrorMode.RAISE,
                null);
    }

    /** Failures go to this handler, and the simulation goes on. */
    public Options reportingErrorsTo(ErrorHandler handler) {
        return new Options(
                commTimeout,
                readyTimeout,
                sendTimeout,
                nodeId,
                nodeActor,
                initRetries,
                acknowledge,
                maxInFlight,
                backPressure,
                ErrorMode.REPORT,
                handler);
    }
}
