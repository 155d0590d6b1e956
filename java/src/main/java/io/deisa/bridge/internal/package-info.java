/** How {@link io.deisa.bridge} calls the native library. Not for simulations: may change with every version. */
package io.deisa.bridge.internal;
