package io.deisa.bridge;

/** What a rank does while a timestep may not begin, as in {@code deisa_when_full}. */
public enum WhenFull {
    /** It waits, up to {@link BridgeBuilder#blockTimeout}; then the call fails with {@link Status#TIMEOUT}. */
    BLOCK,
    /**
     * {@link Bridge#beginStep} skips the timestep, on every rank alike, and so is collective. Sends outside of steps wait.
     */
    SKIP,
    /** The call fails with {@link Status#RESOURCE}. */
    FAIL
}
