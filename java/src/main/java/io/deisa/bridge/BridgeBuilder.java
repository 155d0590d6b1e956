package io.deisa.bridge;

import io.deisa.bridge.internal.Callbacks;
import io.deisa.bridge.internal.Deisa;
import io.deisa.bridge.internal.Environment;
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
 * What a bridge is opened with. Nothing is checked before {@link #open()}; a value that is not set has the default of
 * {@code DEISA_OPTIONS_INIT}. Not thread-safe; may be used for several bridges.
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
    private Options options = Options.defaults();

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

    /** World size, master and Ray at once; the address of {@link #rayAddress}, if given, comes before this one's. */
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
     * Adds arrays: name to {@code chunk_shape}, {@code nb_chunks_per_dim} or {@code global_shape}, {@code chunk_position},
     * {@code dtype}, and if need be {@code nb_chunks_of_node}, {@code halo_before}, {@code halo_after}, {@code order} ("C" or
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

    /** How the ranks meet; null: Gloo, or nothing for one rank. It stays the caller's and must outlive the bridge. */
    public BridgeBuilder communicator(Communicator value) {
        communicator = value;
        return this;
    }

    /** Time-outs, acknowledgement, errors. */
    public BridgeBuilder options(Options value) {
        Objects.requireNonNull(value, "options");
        options = value;
        return this;
    }

    /**
     * Opens the bridge. Collective: meets the other ranks, connects each node to Ray, registers every array and waits for the
     * analytics, all within the ready time-out.
     *
     * @throws InvalidArgumentException when an option or metadata is invalid, before anybody is contacted; its message lists
     *     every problem of the options and of all arrays
     * @throws DeisaException when the bridges do not come together; alike on every rank
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

    /** What is wrong that the native library does not see. */
    List<String> problems() {
        List<String> found = new ArrayList<>(problems);
        Map<String, String> texts = new LinkedHashMap<>();
        texts.put("master_address", masterAddress);
        texts.put("ray_address", rayAddress());
        texts.put("node_id", options.nodeId());
        texts.put("node_actor", options.nodeActor());
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
        return new Callbacks(communicator, options.errorHandler());
    }

    /** The options as the C struct; {@code arena} must live until deisa_open returns. */
    Deisa.Options nativeOptions(Callbacks callbacks, NativeArena arena) {
        long size = Loader.sizeof(Deisa.Options.class);
        Deisa.Options out = new Deisa.Options(arena.allocate(size))
                .struct_size(size)
                .bridge_id(bridgeId)
                .world_size(worldSize)
                .master_address(arena.string(masterAddress))
                .master_port(masterPort)
                .ray_address(arena.string(rayAddress()))
                .comm_timeout(seconds(options.commTimeout()))
                .ready_timeout(seconds(options.readyTimeout()))
                .send_timeout(seconds(options.sendTimeout()))
                .node_id(arena.string(options.nodeId()))
                .node_actor(arena.string(options.nodeActor()))
                .init_retries(options.initRetries())
                .acknowledge(options.acknowledge().ordinal())
                .max_in_flight(options.maxInFlight())
                .when_full(options.backPressure().whenFull().ordinal())
                .block_timeout(options.backPressure()
                        .blockTimeout()
                        .map(BridgeBuilder::seconds)
                        .orElse(-1.0))
                .store_threshold(options.backPressure().storeThreshold())
                .max_ahead(options.backPressure().maxAhead())
                .window(options.backPressure().window())
                .error_mode(options.errorMode().ordinal());
        callbacks.install(out, arena);
        return out;
    }

    private static double seconds(Duration duration) {
        return duration.getSeconds() + duration.getNano() * 1e-9;
    }
}
