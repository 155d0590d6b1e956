package io.deisa.bridge;

import java.io.Serializable;
import java.util.OptionalLong;

/**
 * Where and why a call failed.
 *
 * @param status what kind of failure
 * @param rank the bridge that failed, or -1
 * @param array the array's name, or ""
 * @param timestepOrNone the timestep, or {@link #NO_TIMESTEP}
 * @param message what was wrong, where, what was expected, what to do
 * @param earlier it is about an earlier call than the one that reports it, which has done its own work
 */
public record Failure(Status status, int rank, String array, long timestepOrNone, String message, boolean earlier)
        implements Serializable {
    /** Stands for "no timestep". */
    public static final long NO_TIMESTEP = Long.MIN_VALUE;

    /** A failure of the call that reports it. */
    public Failure(Status status, int rank, String array, long timestepOrNone, String message) {
        this(status, rank, array, timestepOrNone, message, false);
    }

    /** The timestep, if the failure belongs to one. */
    public OptionalLong timestep() {
        return timestepOrNone == NO_TIMESTEP ? OptionalLong.empty() : OptionalLong.of(timestepOrNone);
    }
}
