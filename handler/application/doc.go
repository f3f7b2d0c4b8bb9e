// Package application is the boundary between the gate and what stands behind
// it: the interface that the application's package implements, the handler
// chain as the gate sees it, and the gate's own calls through that chain.
package application
