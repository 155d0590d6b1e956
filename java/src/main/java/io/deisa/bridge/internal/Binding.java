package io.deisa.bridge.internal;

import java.util.List;
import org.bytedeco.javacpp.annotation.Platform;
import org.bytedeco.javacpp.annotation.Properties;
import org.bytedeco.javacpp.tools.Info;
import org.bytedeco.javacpp.tools.InfoMap;
import org.bytedeco.javacpp.tools.InfoMapper;

/**
 * How JavaCPP makes the class {@link Native} and {@code libjnideisa.so} from {@code include/deisa/deisa.h}, when this project
 * is built. All names are those of C; ownership and threads are as the header says.
 */
@Properties(
        value = @Platform(include = "deisa/deisa.h", link = "deisa@.0.2", library = "jnideisa"),
        target = "io.deisa.bridge.internal.Native",
        helper = "io.deisa.bridge.internal.Libraries")
public class Binding implements InfoMapper {
    @Override
    public void map(InfoMap infos) {
        infos.put(new Info("DEISA_EXPORT").cppTypes().annotations());
        // The initialisers of structs are no values in Java.
        infos.put(new Info("deisa.h")
                .linePatterns("#define DEISA_\\w+_INIT .*", "")
                .skip());
        infos.put(new Info("DEISA_NO_TIMESTEP", "DEISA_LATEST")
                .cppTypes("int64_t")
                .translate(false));
        // Pointers to these are addresses, so that a send makes no object on its way; the second have no class at all.
        infos.put(new Info("const char", "const void", "deisa_source", "deisa_value")
                .cast()
                .valueTypes("long"));
        infos.put(new Info("deisa_bridge", "ArrowArray", "ArrowSchema")
                .cast()
                .valueTypes("long")
                .skip());
        // Pointers to these are pointers only, not also arrays and buffers.
        infos.put(new Info("deisa_request", "int64_t").cast().valueTypes("long").pointerTypes("LongPointer"));
        infos.put(new Info("double").valueTypes("double").pointerTypes("DoublePointer"));
        // Callbacks: one instance of each serves all bridges.
        infos.put(new Info("function/pointers").annotations("@Allocator(max = 1)"));
        for (String name : List.of("rank", "size", "barrier", "gather", "broadcast")) {
            infos.put(new Info("deisa_communicator::" + name).pointerTypes(name + "_function"));
        }
    }
}
