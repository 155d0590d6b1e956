package io.deisa.bridge.control;

import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;

/** Turns Ray's chains of exceptions into one message: the reason first, the whole story afterwards. */
final class Failures {
    private static final int LONGEST = 3500;
    /** Ray colours the names of tasks. */
    private static final Pattern COLOUR = Pattern.compile("\u001b\\[[0-9;]*m");

    private Failures() {}

    /**
     * The last line of the innermost message, which for Python is the exception's own line; then, when there is more to
     * say, all messages from the outermost to the innermost.
     */
    static String describe(Throwable failure) {
        List<String> messages = new ArrayList<>();
        String innermost = "";
        int depth = 0;
        for (Throwable t = failure; t != null && depth < 20; t = t.getCause(), depth++) {
            String message = text(t);
            innermost = message;
            // An exception that was made from its cause repeats the cause's message.
            if (messages.stream().noneMatch(m -> m.contains(message))) {
                messages.add(message);
            }
        }
        String reason = lastLine(innermost);
        String story = String.join("\n", messages);
        return cut(story.equals(reason) ? reason : reason + "\n" + story);
    }

    private static String text(Throwable t) {
        String message = t.getMessage();
        return message == null || message.isBlank()
                ? t.getClass().getName()
                : COLOUR.matcher(message).replaceAll("").strip();
    }

    private static String lastLine(String text) {
        String[] lines = text.strip().split("\\R");
        return lines[lines.length - 1].strip();
    }

    /** Keeps both ends: the reason is at the beginning, a traceback's last frames are at the end. */
    private static String cut(String text) {
        if (text.length() <= LONGEST) {
            return text;
        }
        int half = LONGEST / 2;
        return text.substring(0, half) + "\n[...]\n" + text.substring(text.length() - half);
    }
}
