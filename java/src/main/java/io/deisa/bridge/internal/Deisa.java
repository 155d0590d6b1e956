package io.deisa.bridge.internal;

import java.io.File;
import java.nio.file.Path;
import java.util.Objects;
import java.util.Properties;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.DoublePointer;
import org.bytedeco.javacpp.FunctionPointer;
import org.bytedeco.javacpp.Loader;
import org.bytedeco.javacpp.LongPointer;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.annotation.Allocator;
import org.bytedeco.javacpp.annotation.Cast;
import org.bytedeco.javacpp.annotation.Const;
import org.bytedeco.javacpp.annotation.MemberGetter;
import org.bytedeco.javacpp.annotation.Name;
import org.bytedeco.javacpp.annotation.Platform;

/**
 * The functions and structs of {@code include/deisa/deisa.h}, one for one; JavaCPP makes {@code libjnideisa.so} from this
 * class. Ownership and threads are as the header says. What a send touches is passed as an address, so that no object is
 * made on its way.
 *
 * <p>The libraries come from the classpath (folder {@code io/deisa/bridge/linux-x86_64}), or from the folder that the system
 * property {@code deisa.library.path} names.
 */
@Platform(include = "deisa/deisa.h", link = "deisa@.0.2", library = "jnideisa")
public final class Deisa {
    /** System property: the folder of {@code libjnideisa.so} and {@code libdeisa*.so}, taken before the classpath. */
    public static final String LIBRARY_PATH = "deisa.library.path";

    /** {@code DEISA_NO_TIMESTEP} and {@code DEISA_LATEST}. */
    public static final long NO_TIMESTEP = Long.MIN_VALUE;

    // deisa_value_kind
    static final int VALUE_NULL = 0;
    static final int VALUE_BOOL = 1;
    static final int VALUE_INTEGER = 2;
    static final int VALUE_UNSIGNED = 3;
    static final int VALUE_NUMBER = 4;
    static final int VALUE_STRING = 5;
    static final int VALUE_BYTES = 6;
    static final int VALUE_LIST = 7;
    static final int VALUE_MAP = 8;
    static final int VALUE_ARRAY = 9;

    static {
        load();
    }

    private Deisa() {}

    /** Loads the native libraries, unless they are loaded; JavaCPP's own memory functions are in them too. */
    static void ensureLoaded() {}

    private static void load() {
        String folder = System.getProperty(LIBRARY_PATH);
        Path unpacked = BundledFiles.unpack();
        String folders = Stream.of(folder, unpacked)
                .filter(Objects::nonNull)
                .map(Object::toString)
                .collect(Collectors.joining(File.pathSeparator));
        if (folders.isEmpty()) {
            Loader.load(Deisa.class);
            return;
        }
        Properties properties = Loader.loadProperties();
        properties.setProperty("platform.linkpath", folders);
        properties.setProperty("platform.preloadpath", folders);
        Loader.load(Deisa.class, properties, true);
    }

    // ---- Structs: views of native memory that others own -----------------------------------------
    // allocate() is not called: with it, JavaCPP knows the struct's size.

    /** {@code deisa_error}. */
    @Name("deisa_error")
    public static final class Error extends Pointer {
        public Error(Pointer memory) {
            super(memory);
        }

        private native void allocate();

        public native @Cast("deisa_status") int status();

        public native Error status(int value);

        public native int rank();

        public native Error rank(int value);

        public native long timestep();

        public native Error timestep(long value);

        @MemberGetter
        public native @Cast("char*") BytePointer array();

        @MemberGetter
        public native @Cast("char*") BytePointer message();

        public native int earlier();

        public native Error earlier(int value);
    }

    /** {@code deisa_communicator}. */
    @Name("deisa_communicator")
    public static final class CommunicatorTable extends Pointer {
        public CommunicatorTable(Pointer memory) {
            super(memory);
        }

        private native void allocate();

        public native CommunicatorTable struct_size(@Cast("size_t") long value);

        public native @Cast("size_t") long struct_size();

        public native CommunicatorTable self(Pointer value);

        public native Pointer self();

        public native CommunicatorTable rank(CountFunction value);

        public native CountFunction rank();

        public native CommunicatorTable size(CountFunction value);

        public native CountFunction size();

        public native CommunicatorTable barrier(BarrierFunction value);

        public native BarrierFunction barrier();

        public native CommunicatorTable gather(GatherFunction value);

        public native GatherFunction gather();

        public native CommunicatorTable broadcast(BroadcastFunction value);

        public native BroadcastFunction broadcast();
    }

    /** {@code deisa_options}. */
    @Name("deisa_options")
    public static final class Options extends Pointer {
        public Options(Pointer memory) {
            super(memory);
        }

        private native void allocate();

        public native Options struct_size(@Cast("size_t") long value);

        public native @Cast("size_t") long struct_size();

        public native Options bridge_id(int value);

        public native int bridge_id();

        public native Options world_size(int value);

        public native int world_size();

        public native Options master_address(@Cast("const char*") BytePointer value);

        public native @Cast("const char*") BytePointer master_address();

        public native Options master_port(int value);

        public native int master_port();

        public native Options ray_address(@Cast("const char*") BytePointer value);

        public native @Cast("const char*") BytePointer ray_address();

        public native Options communicator(@Const CommunicatorTable value);

        public native @Const CommunicatorTable communicator();

        public native Options comm_timeout(double value);

        public native double comm_timeout();

        public native Options ready_timeout(double value);

        public native double ready_timeout();

        public native Options send_timeout(double value);

        public native double send_timeout();

        public native Options node_id(@Cast("const char*") BytePointer value);

        public native @Cast("const char*") BytePointer node_id();

        public native Options node_actor(@Cast("const char*") BytePointer value);

        public native @Cast("const char*") BytePointer node_actor();

        public native Options init_retries(int value);

        public native int init_retries();

        public native Options acknowledge(@Cast("deisa_acknowledge") int value);

        public native @Cast("deisa_acknowledge") int acknowledge();

        public native Options max_in_flight(int value);

        public native int max_in_flight();

        public native Options when_full(@Cast("deisa_when_full") int value);

        public native @Cast("deisa_when_full") int when_full();

        public native Options block_timeout(double value);

        public native double block_timeout();

        public native Options store_threshold(double value);

        public native double store_threshold();

        public native Options max_ahead(int value);

        public native int max_ahead();

        public native Options window(int value);

        public native int window();

        public native Options feedback_interval(double value);

        public native double feedback_interval();

        public native Options error_mode(@Cast("deisa_error_mode") int value);

        public native @Cast("deisa_error_mode") int error_mode();

        public native Options error_handler(HandlerFunction value);

        public native HandlerFunction error_handler();

        public native Options error_handler_data(Pointer value);

        public native Pointer error_handler_data();
    }

    /** {@code deisa_layout}. */
    @Name("deisa_layout")
    public static final class Layout extends Pointer {
        public Layout(Pointer memory) {
            super(memory);
        }

        private native void allocate();

        public native Layout struct_size(@Cast("size_t") long value);

        public native @Cast("size_t") long struct_size();

        public native Layout dtype(@Cast("deisa_dtype") int value);

        public native @Cast("deisa_dtype") int dtype();

        public native Layout ndim(int value);

        public native int ndim();

        public native Layout chunk_shape(@Cast("const int64_t*") LongPointer value);

        public native @Cast("const int64_t*") LongPointer chunk_shape();

        public native Layout nb_chunks_per_dim(@Cast("const int64_t*") LongPointer value);

        public native @Cast("const int64_t*") LongPointer nb_chunks_per_dim();

        public native Layout global_shape(@Cast("const int64_t*") LongPointer value);

        public native @Cast("const int64_t*") LongPointer global_shape();

        public native Layout chunk_position(@Cast("const int64_t*") LongPointer value);

        public native @Cast("const int64_t*") LongPointer chunk_position();

        public native Layout nb_chunks_of_node(long value);

        public native long nb_chunks_of_node();

        public native Layout halo_before(@Cast("const int64_t*") LongPointer value);

        public native @Cast("const int64_t*") LongPointer halo_before();

        public native Layout halo_after(@Cast("const int64_t*") LongPointer value);

        public native @Cast("const int64_t*") LongPointer halo_after();

        public native Layout order(@Cast("deisa_order") int value);

        public native @Cast("deisa_order") int order();
    }

    /** {@code deisa_statistics}. */
    @Name("deisa_statistics")
    public static final class Counters extends Pointer {
        public Counters(Pointer memory) {
            super(memory);
        }

        private native void allocate();

        public native Counters struct_size(@Cast("size_t") long value);

        public native @Cast("size_t") long struct_size();

        @MemberGetter
        public native long steps_sent();

        @MemberGetter
        public native long steps_skipped();

        @MemberGetter
        public native long chunks_sent();

        @MemberGetter
        public native long chunks_stored();

        @MemberGetter
        public native long chunks_announced();

        @MemberGetter
        public native long chunks_failed();

        @MemberGetter
        public native long chunks_lost();

        @MemberGetter
        public native long chunks_filtered();

        @MemberGetter
        public native long chunks_in_flight();

        @MemberGetter
        public native long bytes_sent();

        @MemberGetter
        public native long bytes_copied();

        @MemberGetter
        public native double seconds_blocked();

        @MemberGetter
        public native long errors();

        @MemberGetter
        public native long errors_earlier();
    }

    /** {@code deisa_source}: its size and the places of its members, see {@link SourceMemory}. */
    @Name("deisa_source")
    public static final class Source extends Pointer {
        public Source(Pointer memory) {
            super(memory);
        }

        private native void allocate();

        public native Source struct_size(@Cast("size_t") long value);

        public native @Cast("size_t") long struct_size();

        public native Source data(@Const Pointer value);

        public native @Const Pointer data();

        public native Source loan(@Cast("void**") LongPointer value);

        public native @Cast("void**") LongPointer loan();

        @MemberGetter
        public native @Cast("void*") Pointer array();

        @MemberGetter
        public native @Cast("void*") Pointer schema();
    }

    /** {@code deisa_get_options}. */
    @Name("deisa_get_options")
    public static final class GetOptions extends Pointer {
        public GetOptions(Pointer memory) {
            super(memory);
        }

        private native void allocate();

        public native GetOptions struct_size(@Cast("size_t") long value);

        public native @Cast("size_t") long struct_size();

        public native GetOptions timestep(long value);

        public native long timestep();

        @Name("wait")
        public native GetOptions wait_(double value);

        @Name("wait")
        public native double wait_();

        public native GetOptions collective(int value);

        public native int collective();

        public native GetOptions all(int value);

        public native int all();

        public native GetOptions chunked(int value);

        public native int chunked();
    }

    /** {@code deisa_value}. */
    @Name("deisa_value")
    public static final class Value extends Pointer {
        public Value(Pointer memory) {
            super(memory);
        }

        private native void allocate();

        @MemberGetter
        public native @Cast("int") int kind();

        @MemberGetter
        public native @Cast("int") int dtype();

        @MemberGetter
        public native int ndim();

        @MemberGetter
        public native long integer();

        @MemberGetter
        public native @Cast("uint64_t") long unsigned_integer();

        @MemberGetter
        public native double number();

        @MemberGetter
        public native @Cast("size_t") long size();

        @MemberGetter
        public native @Cast("void*") Pointer data();

        @MemberGetter
        public native @Cast("void*") Pointer shape();

        @MemberGetter
        public native @Cast("void*") Pointer keys();

        @MemberGetter
        public native @Cast("void*") Pointer items();
    }

    // ---- Callbacks: one instance of each serves all bridges (see Callbacks) -------------------------

    /** {@code rank} and {@code size} of a communicator. */
    @Allocator(max = 2)
    public static class CountFunction extends FunctionPointer {
        protected CountFunction() {
            allocate();
        }

        private native void allocate();

        public native int call(Pointer self);
    }

    /** {@code barrier} of a communicator. */
    @Allocator(max = 1)
    public static class BarrierFunction extends FunctionPointer {
        protected BarrierFunction() {
            allocate();
        }

        private native void allocate();

        public native @Cast("deisa_status") int call(Pointer self, double timeout, Error error);
    }

    /** {@code gather} of a communicator. */
    @Allocator(max = 1)
    public static class GatherFunction extends FunctionPointer {
        protected GatherFunction() {
            allocate();
        }

        private native void allocate();

        public native @Cast("deisa_status") int call(
                Pointer self,
                @Const Pointer sent,
                @Cast("size_t") long bytes,
                Pointer received,
                int root,
                double timeout,
                Error error);
    }

    /** {@code broadcast} of a communicator. */
    @Allocator(max = 1)
    public static class BroadcastFunction extends FunctionPointer {
        protected BroadcastFunction() {
            allocate();
        }

        private native void allocate();

        public native @Cast("deisa_status") int call(
                Pointer self, Pointer data, @Cast("size_t") long bytes, int root, double timeout, Error error);
    }

    /** {@code deisa_error_handler}. */
    @Allocator(max = 1)
    public static class HandlerFunction extends FunctionPointer {
        protected HandlerFunction() {
            allocate();
        }

        private native void allocate();

        public native void call(Pointer userData, @Const Error error);
    }

    // ---- Functions ------------------------------------------------------------------------------

    public static native @Cast("const char*") BytePointer deisa_version();

    public static native @Cast("deisa_status") int deisa_open(
            @Const Options options, @Cast("deisa_bridge**") LongPointer out, Error error);

    public static native @Cast("deisa_status") int deisa_define_json(
            @Cast("deisa_bridge*") long bridge, @Cast("const char*") BytePointer arraysMetadata, Error error);

    public static native @Cast("deisa_status") int deisa_ready(@Cast("deisa_bridge*") long bridge, Error error);

    public static native @Cast("deisa_status") int deisa_send(
            @Cast("deisa_bridge*") long bridge,
            @Cast("const char*") long name,
            @Cast("const void*") long data,
            long timestep,
            Error error);

    public static native @Cast("deisa_status") int deisa_begin_step(
            @Cast("deisa_bridge*") long bridge, long timestep, Error error);

    public static native @Cast("deisa_status") int deisa_put(
            @Cast("deisa_bridge*") long bridge,
            @Cast("const char*") long name,
            @Cast("const void*") long data,
            Error error);

    public static native @Cast("deisa_status") int deisa_wait(
            @Cast("deisa_bridge*") long bridge, @Cast("deisa_request*") LongPointer request, Error error);

    public static native @Cast("deisa_status") int deisa_test(
            @Cast("deisa_bridge*") long bridge, @Cast("deisa_request*") LongPointer request, Error error);

    public static native @Cast("deisa_status") int deisa_flush(@Cast("deisa_bridge*") long bridge, Error error);

    public static native @Cast("deisa_status") int deisa_close(
            @Cast("deisa_bridge**") LongPointer bridge, long timestep, Error error);

    public static native void deisa_abandon(@Cast("deisa_bridge**") LongPointer bridge);

    public static native @Cast("deisa_status") int deisa_delete(
            @Cast("deisa_bridge*") long bridge, @Cast("const char*") BytePointer key, Error error);

    public static native @Cast("deisa_status") int deisa_send_from(
            @Cast("deisa_bridge*") long bridge,
            @Cast("const char*") long name,
            @Cast("const deisa_source*") long source,
            long timestep,
            @Cast("deisa_request*") LongPointer request,
            Error error);

    public static native @Cast("deisa_status") int deisa_put_from(
            @Cast("deisa_bridge*") long bridge,
            @Cast("const char*") long name,
            @Cast("const deisa_source*") long source,
            Error error);

    public static native @Cast("deisa_status") int deisa_end_step(
            @Cast("deisa_bridge*") long bridge, @Cast("deisa_request*") LongPointer request, Error error);

    public static native @Cast("deisa_status") int deisa_abandon_step(@Cast("deisa_bridge*") long bridge, Error error);

    public static native @Cast("deisa_status") int deisa_loan(
            @Cast("deisa_bridge*") long bridge,
            @Cast("const char*") long name,
            @Cast("void**") LongPointer memory,
            Layout layout,
            Error error);

    public static native @Cast("deisa_status") int deisa_get(
            @Cast("deisa_bridge*") long bridge,
            @Cast("const char*") BytePointer key,
            @Const GetOptions options,
            @Cast("const deisa_value**") LongPointer value,
            Error error);

    public static native @Cast("deisa_status") int deisa_get_double(
            @Cast("deisa_bridge*") long bridge,
            @Cast("const char*") BytePointer key,
            @Const GetOptions options,
            DoublePointer value,
            Error error);

    public static native @Cast("deisa_status") int deisa_get_int64(
            @Cast("deisa_bridge*") long bridge,
            @Cast("const char*") BytePointer key,
            @Const GetOptions options,
            @Cast("int64_t*") LongPointer value,
            Error error);

    public static native @Cast("deisa_status") int deisa_get_statistics(
            @Cast("deisa_bridge*") long bridge, Counters out, Error error);

    public static native @Cast("deisa_status") int deisa_export(
            @Cast("deisa_bridge*") long bridge,
            @Cast("const char*") long name,
            @Cast("ArrowArray*") long array,
            @Cast("ArrowSchema*") long schema,
            Error error);

    public static native @Cast("deisa_status") int deisa_export_memory(
            @Cast("const void*") long data,
            @Const Layout layout,
            @Cast("ArrowArray*") long array,
            @Cast("ArrowSchema*") long schema,
            Error error);
}
