package keyring

import "context"

// Storage is the part of certmagic.Storage that the gate keeps its state in,
// so that sessions live wherever Caddy's certificates do. Load returns an
// error that matches fs.ErrNotExist when the key is absent; so does List for
// an absent path, on some backends. There is no compare-and-swap: who must
// not be overtaken takes Lock.
type Storage interface {
	Lock(ctx context.Context, name string) error
	Unlock(ctx context.Context, name string) error
	Store(ctx context.Context, key string, value []byte) error
	Load(ctx context.Context, key string) ([]byte, error)
	Delete(ctx context.Context, key string) error
	List(ctx context.Context, path string, recursive bool) ([]string, error)
}

// StoragePrefix is the folder of a gate's state in a Storage.
func StoragePrefix(gate string) string { return "romm_oidc/" + gate }
