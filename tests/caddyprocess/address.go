// Free ports for the processes under test.

package caddyprocess

import (
	"fmt"
	"net"
	"os"
	"sync"
	"testing"
)

// The range of the ports. The system gives none of them to an outgoing
// connection or a server without a port of its own, so that a free one
// stays free until its process listens.
const lowest, highest = 20000, 32000

// stride keeps processes apart that were started one after the other.
const stride = 101

var (
	mu   sync.Mutex
	next = lowest + os.Getpid()*stride%(highest-lowest) // tests of several packages run at the same time
)

// Ports returns n free ports of the loopback interface. No port is returned twice
// before the range is used up.
func Ports(t *testing.T, n int) []int {
	t.Helper()
	mu.Lock()
	defer mu.Unlock()
	ports := make([]int, 0, n)
	for range highest - lowest {
		port := next
		if next++; next == highest {
			next = lowest
		}
		listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", fmt.Sprint("127.0.0.1:", port))
		if err != nil {
			continue
		}
		_ = listener.Close()
		if ports = append(ports, port); len(ports) == n {
			return ports
		}
	}
	t.Fatal("no free ports, want some between ", lowest, " and ", highest)
	return nil
}
