package io.deisa.bridge.control;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;

class FailuresTest {
    private static final String TRACEBACK =
            """
            An exception raised from PYTHON:
            ray.exceptions.RayTaskError: \u001b[36mray::prepare()\u001b[39m (pid=1, ip=192.0.2.2)
              File "control.py", line 6, in prepare
                raise ValueError("boom")
            ValueError: boom
            """;

    @Test
    void putsThePythonExceptionFirstAndItsTracebackAfterwards() {
        String message = Failures.describe(new RuntimeException(TRACEBACK));
        assertTrue(message.startsWith("ValueError: boom\nAn exception raised from PYTHON:\n"), message);
        assertTrue(message.contains("File \"control.py\", line 6, in prepare"), message);
        assertFalse(message.contains("\u001b"), message);
    }

    @Test
    void unwrapsCausesAndSaysNothingTwice() {
        Throwable failure = new RuntimeException(
                "Failed to initialize ray runtime", new IllegalStateException(new RuntimeException("no such node")));
        assertEquals(
                "no such node\nFailed to initialize ray runtime\njava.lang.RuntimeException: no such node",
                Failures.describe(failure));
    }

    @Test
    void leavesAShortMessageAlone() {
        assertEquals("no such node", Failures.describe(new RuntimeException(" no such node\n")));
    }

    @Test
    void namesTheClassWhenThereIsNoMessage() {
        assertEquals("java.lang.NullPointerException", Failures.describe(new NullPointerException()));
        assertEquals("java.lang.RuntimeException", Failures.describe(new RuntimeException("  ")));
    }

    @Test
    void survivesACircleOfCauses() {
        RuntimeException outer = new RuntimeException("outer");
        RuntimeException inner = new RuntimeException("inner", outer);
        outer.initCause(inner);
        assertTrue(Failures.describe(outer).contains("outer"));
    }

    @Test
    void keepsBothEndsOfALongMessage() {
        String message = Failures.describe(new RuntimeException("first\n" + "x".repeat(9000) + "\nlast: reason"));
        assertTrue(message.startsWith("last: reason\nfirst\n"), message);
        assertTrue(message.endsWith("\nlast: reason"), message);
        assertTrue(message.length() < 4000, () -> "length " + message.length());
    }
}
