package io.deisa.bridge;

/** What happens to a failure that is not a violation of the contract, as in {@code deisa_error_mode}. */
public enum ErrorMode {
    /** It goes to the {@link ErrorHandler} (default: stderr), and the call returns {@link Status#REPORTED}. */
    REPORT,
    /** The call throws it. */
    RAISE
}
