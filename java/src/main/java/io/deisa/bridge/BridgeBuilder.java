package io.deisa.bridge;

import io.deisa.bridge.internal.Callbacks;
import io.deisa.bridge.internal.Environment;
import io.deisa.bridge.internal.Native;
import io.deisa.bridge.internal.NativeArena;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.apache.arrow.memory.util.MemoryUtil;
import org.bytedeco.javacpp.Loader;

/**
 * What a bridge is opened with: its options and its arrays. Nothing is checked before {@link #open()}; a value that is not set
 * has the default of {@code DEISA_OPTIONS_INIT}. Each option has an environment variable ({@code DEISA_COMM_TIMEOUT}, ...) and a
 * key in the settings file that {@code DEISA_CONFIG} names; both take precedence. Not thread-safe; may be used for several
 * bridges.
 */
public final class BridgeBuilder {
    private final Map<String, Map<String, ?>> arrays = new LinkedHashMap<>();
    private final List<String> problems = new ArrayList<>();
    private int bridgeId = -1;
    private int worldSize = -1;
    private String masterAddress;
    private int masterPort = -1;
    private String rayAddress;
    private String systemRayAddress;
    private Communicator communicator;
    private Duration commTimeout = Duration.ofSeconds(120);
    private Duration readyTimeout = Duration.ofSeconds(600);
    private Duration sendTimeout = Duration.ofSeconds(120);
    private String nodeId;
    private String nodeActor;
    private int initRetries = 3;
    private Acknowledge acknowledge = Acknowledge.RECEIVED;
    private int maxInFlight = 2;
    private WhenFull whenFull = WhenFull.BLOCK;
    private Duration blockTimeout; // null: -1
    private double storeThreshold = 0.5;
    private int maxAhead;
    private int window = 1;
    private Duration feedbackInterval = Duration.ofMillis(100);
    private ErrorMode errorMode = ErrorMode.REPORT;
    private ErrorHandler errorHandler;

    BridgeBuilder() {}

    /** 0 ... worldSize-1; -1: the communicator's rank, 0 without one. */
    public BridgeBuilder bridgeId(int value) {
        bridgeId = value;
        return this;
    }

    /** At least 1; -1: the communicator's size, 1 without one. */
    public BridgeBuilder worldSize(int value) {
        worldSize = value;
        return this;
    }

    /** The host of bridge 0, for the rendezvous; null: 127.0.0.1. */
    public BridgeBuilder masterAddress(String value) {
        masterAddress = value;
        return this;
    }

    /** 1 ... 65535, for the rendezvous; -1: 29400. */
    public BridgeBuilder masterPort(int value) {
        masterPort = value;
        return this;
    }

    /** {@code host:port} of Ray; null: that of {@link #system}, else {@code RAY_ADDRESS}, else the local cluster. */
    public BridgeBuilder rayAddress(String value) {
        rayAddress = value;
        return this;
    }

    /** World size, master and Ray together; an address given to {@link #rayAddress} takes precedence. */
    public BridgeBuilder system(SystemMetadata value) {
        Objects.requireNonNull(value, "system");
        systemRayAddress = value.rayAddress();
        return worldSize(value.worldSize()).masterAddress(value.masterAddress()).masterPort(value.masterPort());
    }

    /** Adds an array. */
    public BridgeBuilder array(ArrayMetadata value) {
        Objects.requireNonNull(value, "array");
        return array(value.name(), value.toMap());
    }

    /**
     * Adds arrays: name to {@code chunk_shape}, {@code nb_chunks_per_dim} or {@code global_shape}, {@code chunk_position} (or
     * {@code start} with {@code global_shape}), {@code dtype}, and optionally {@code nb_chunks_of_node}, {@code halo_before}, {@code halo_after}, {@code order} ("C" or
     * "F"), {@code strides} and {@code offset} (bytes), which mean what they mean in {@code deisa_define_json}. Lists and Java arrays of integers both work. The maps are not changed, and
     * are read when the bridge is opened.
     */
    public BridgeBuilder arrays(Map<String, ? extends Map<String, ?>> value) {
        Objects.requireNonNull(value, "arrays");
        value.forEach(this::array);
        return this;
    }

    private BridgeBuilder array(String name, Map<String, ?> metadata) {
        String key = name == null ? "" : name;
        if (arrays.putIfAbsent(key, metadata) != null) {
            problems.add("array '" + key + "' is given twice: expected each name once");
        }
        if (!StandardCharsets.UTF_8.newEncoder().canEncode(key)) {
            problems.add("array '" + key + "': the name cannot be written as UTF-8: it has half a surrogate pair");
        }
        return this;
    }

    /** How the ranks synchronise; null: Gloo, or nothing for one rank. The caller owns it; it must outlive the bridge. */
    public BridgeBuilder communicator(Communicator value) {
        communicator = value;
        return this;
    }

    /** For the rendezvous, and for a barrier of all ranks; above 0. */
    public BridgeBuilder commTimeout(Duration value) {
        commTimeout = Objects.requireNonNull(value, "commTimeout");
        return this;
    }

    /** For all that {@link #open()} waits for after the rendezvous; above 0. The minimum over all ranks applies. */
    public BridgeBuilder readyTimeout(Duration value) {
        readyTimeout = Objects.requireNonNull(value, "readyTimeout");
        return this;
    }

    /** For one wait in a send, a step or a flush; above 0. */
    public BridgeBuilder sendTimeout(Duration value) {
        sendTimeout = Objects.requireNonNull(value, "sendTimeout");
        return this;
    }

    /** The node's name; null: this node of Ray. Tests name several nodes on one machine. */
    public BridgeBuilder nodeId(String value) {
        nodeId = value;
        return this;
    }

    /** {@code "module:Class"} of the node actor; null: deisa-ray's own, extended. */
    public BridgeBuilder nodeActor(String value) {
        nodeActor = value;
        return this;
    }

    /** Attempts to create the node actor, at least 1. */
    public BridgeBuilder initRetries(int value) {
        initRetries = value;
        return this;
    }

    /** When a send returns. */
    public BridgeBuilder acknowledge(Acknowledge value) {
        acknowledge = Objects.requireNonNull(value, "acknowledge");
        return this;
    }

    /** Timesteps of this rank that are not yet in the object store, at least 1. */
    public BridgeBuilder maxInFlight(int value) {
        maxInFlight = value;
        return this;
    }

    /** What a rank does while a timestep may not begin. The same on every rank. */
    public BridgeBuilder whenFull(WhenFull value) {
        whenFull = Objects.requireNonNull(value, "whenFull");
        return this;
    }

    /** How long a rank waits for space before the timestep is refused or skipped; not set: {@link #sendTimeout} with {@link
     * WhenFull#BLOCK}, else not at all. The same on every rank. */
    public BridgeBuilder blockTimeout(Duration value) {
        blockTimeout = Objects.requireNonNull(value, "blockTimeout");
        return this;
    }

    /** Usable fraction of each node's object store, above 0, at most 1. The same on every rank. */
    public BridgeBuilder storeThreshold(double value) {
        storeThreshold = value;
        return this;
    }

    /** Timesteps that may wait for the analytics; 0: no limit. The same on every rank. */
    public BridgeBuilder maxAhead(int value) {
        maxAhead = value;
        return this;
    }

    /** Timesteps that the analytics keep, at least 1; {@link #open()} checks that they fit. The same on every rank. */
    public BridgeBuilder window(int value) {
        window = value;
        return this;
    }

    /** Maximum age of a feedback value that is read without waiting; zero: each read asks the head actor. The node leader's applies. */
    public BridgeBuilder feedbackInterval(Duration value) {
        feedbackInterval = Objects.requireNonNull(value, "feedbackInterval");
        return this;
    }

    /** What happens to a failure that is not the caller's fault. */
    public BridgeBuilder errorMode(ErrorMode value) {
        errorMode = Objects.requireNonNull(value, "errorMode");
        return this;
    }

    /** Where such failures go in mode {@link ErrorMode#REPORT}; null: stderr. */
    public BridgeBuilder errorHandler(ErrorHandler value) {
        errorHandler = value;
        return this;
    }

    /**
     * Opens the bridge. Collective: joins the rendezvous of the ranks, connects each node to Ray, registers every array and waits for
     * the analytics.
     *
     * @throws InvalidArgumentException when an option or metadata is invalid, before any communication; its message lists
     *     every problem of the options and of all arrays
     * @throws DeisaException when the bridges cannot start; the same on every rank
     */
    public Bridge open() {
        String flag = Environment.missingFlag(MemoryUtil.class.getModule()); // no use of the class, which would fail
        if (!flag.isEmpty() && !Environment.isDisabled()) {
            String message = "this JVM lacks the option " + flag
                    + ", which Arrow needs: start java with it, before the name of the class";
            throw new InvalidArgumentException(
                    new Failure(Status.ARGUMENT, bridgeId, "", Failure.NO_TIMESTEP, message), null);
        }
        return new Bridge(this);
    }

    /** Problems that the native library cannot detect. */
    List<String> problems() {
        List<String> found = new ArrayList<>(problems);
        Map<String, String> texts = new LinkedHashMap<>();
        texts.put("master_address", masterAddress);
        texts.put("ray_address", rayAddress());
        texts.put("node_id", nodeId);
        texts.put("node_actor", nodeActor);
        texts.forEach((option, value) -> {
            if (value != null && value.indexOf('\0') >= 0) {
                found.add(option + " contains NUL: expected text without it");
            }
        });
        return found;
    }

    private String rayAddress() {
        return rayAddress != null ? rayAddress : systemRayAddress;
    }

    int bridgeId() {
        return bridgeId;
    }

    Map<String, Map<String, ?>> arrays() {
        return arrays;
    }

    Callbacks callbacks() {
        return new Callbacks(communicator, errorHandler);
    }

    /** The options as the C struct; {@code arena} must live until deisa_open returns. */
    Native.deisa_options nativeOptions(Callbacks callbacks, NativeArena arena) {
        long size = Loader.sizeof(Native.deisa_options.class);
        Native.deisa_options out = new Native.deisa_options(arena.allocate(size))
                .struct_size(size)
                .bridge_id(bridgeId)
                .world_size(worldSize)
                .master_address(arena.string(masterAddress))
                .master_port(masterPort)
                .ray_address(arena.string(rayAddress()))
                .comm_timeout(seconds(commTimeout))
                .ready_timeout(seconds(readyTimeout))
                .send_timeout(seconds(sendTimeout))
                .node_id(arena.string(nodeId))
                .node_actor(arena.string(nodeActor))
                .init_retries(initRetries)
                .acknowledge(acknowledge.ordinal())
                .max_in_flight(maxInFlight)
                .when_full(whenFull.ordinal())
                .block_timeout(blockTimeout == null ? -1.0 : seconds(blockTimeout))
                .store_threshold(storeThreshold)
                .max_ahead(maxAhead)
                .window(window)
                .feedback_interval(seconds(feedbackInterval))
                .error_mode(errorMode.ordinal());
        callbacks.install(out, arena);
        return out;
    }

    static double seconds(Duration duration) {
        return duration.getSeconds() + duration.getNano() * 1e-9;
    }
}
