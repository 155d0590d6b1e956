package io.deisa.bridge;

/** What a rank does while a timestep may not begin, as in {@code deisa_when_full}. */
public enum WhenFull {
    /** It waits, up to the block time-out; then the call fails with {@link Status#TIMEOUT}. */
    BLOCK,
    /**
     * {@link Bridge#beginStep} leaves the step out, on every rank alike, and so is collective; its {@link Step} is skipped. Sends
     * outside of steps wait.
     */
    DROP,
    /** The call fails with {@link Status#RESOURCE}. */
    FAIL
}
