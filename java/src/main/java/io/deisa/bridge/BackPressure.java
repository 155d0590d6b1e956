package io.deisa.bridge;

import java.time.Duration;
import java.util.Objects;
import java.util.Optional;

/**
 * What keeps the simulation from running too far ahead of the analytics. A timestep may begin when fewer than {@link
 * Options#maxInFlight()} of this rank are not stored yet, this node's object store has room, and not too many timesteps wait for
 * the analytics. The same on every rank. Start from {@link #defaults()}; checked when the bridge is opened.
 *
 * @param whenFull what a rank does while a timestep may not begin
 * @param blockTimeout how long it waits before the timestep is refused or dropped; empty: the send time-out with {@link
 *     WhenFull#BLOCK}, else not at all
 * @param storeThreshold part of each node's object store that may be in use, above 0, at most 1
 * @param maxAhead timesteps that may wait for the analytics; 0: no limit
 * @param window timesteps that the analytics keep, at least 1; opening the bridge checks that they fit into the store
 */
public record BackPressure(
        WhenFull whenFull, Optional<Duration> blockTimeout, double storeThreshold, int maxAhead, int window) {

    /** Checks that nothing is null. */
    public BackPressure {
        Objects.requireNonNull(whenFull, "whenFull");
        Objects.requireNonNull(blockTimeout, "blockTimeout");
    }

    /** The defaults of {@code DEISA_OPTIONS_INIT}. */
    public static BackPressure defaults() {
        return new BackPressure(WhenFull.BLOCK, Optional.empty(), 0.5, 0, 1);
    }

    public BackPressure withWhenFull(WhenFull value) {
        return new BackPressure(value, blockTimeout, storeThreshold, maxAhead, window);
    }

    public BackPressure withBlockTimeout(Duration value) {
        return new BackPressure(whenFull, Optional.of(value), storeThreshold, maxAhead, window);
    }

    public BackPressure withStoreThreshold(double value) {
        return new BackPressure(whenFull, blockTimeout, value, maxAhead, window);
    }

    public BackPressure withMaxAhead(int value) {
        return new BackPressure(whenFull, blockTimeout, storeThreshold, value, window);
    }

    public BackPressure withWindow(int value) {
        return new BackPressure(whenFull, blockTimeout, storeThreshold, maxAhead, value);
    }
}
