// The size of what a request allocates.

package rommoidc

import (
	"testing"
	"unsafe"
)

// Up to 512 bytes, the runtime allocates an object with pointers without a header of
// its own.
func TestRequestStaysSmall(t *testing.T) {
	t.Parallel()
	if size := unsafe.Sizeof(passage{}); size > 512 {
		t.Errorf("a request allocates %d bytes, want 512 at most", size)
	}
}
