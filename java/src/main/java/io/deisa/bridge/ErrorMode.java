package io.deisa.bridge;

/** What happens to a failure that is not the caller's fault, as in {@code deisa_error_mode}. */
public enum ErrorMode {
    /** It goes to the {@link ErrorHandler} (default: stderr), and the call returns {@link Status#REPORTED}. */
    REPORT,
    /** The call returns it, which in Java is to throw it. */
    RETURN
}
