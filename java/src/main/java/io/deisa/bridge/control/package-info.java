/**
 * The node leader's way to Ray, through Ray's public Java API: joins the cluster, runs the Python task that creates
 * the node actor, and calls its methods. A process of its own, started by
 * the native library (native/control): see docs/control.md.
 */
package io.deisa.bridge.control;
