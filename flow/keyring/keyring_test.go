package keyring

import (
	"bytes"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestNewKeyring(t *testing.T) {
	t.Parallel()
	good := make([]byte, 32)
	for name, secrets := range map[string][][]byte{
		"none": nil, "empty": {{}}, "short": {make([]byte, 31)}, "long": {make([]byte, 33)}, "second short": {good, make([]byte, 16)},
	} {
		if ring, err := New("gate", secrets...); err == nil || ring != nil {
			t.Errorf("%s: got %v, %v", name, ring, err)
		}
	}
}

// A sealed value opens at its gate, for its purpose, with what it was bound
// to, and nowhere else.
func TestSealedValuesAreApart(t *testing.T) {
	t.Parallel()
	ring := ringOf(t, "gate", 1)
	sealed := ring.Seal("purpose", []byte("text"), "a", "bc")
	for name, row := range map[string]struct {
		ring    *Keyring
		purpose string
		sealed  []byte
		bound   []string
		opens   bool
	}{
		"as sealed":              {ring, "purpose", sealed, []string{"a", "bc"}, true},
		"another purpose":        {ring, "purpose2", sealed, []string{"a", "bc"}, false},
		"another gate":           {ringOf(t, "gate2", 1), "purpose", sealed, []string{"a", "bc"}, false},
		"another secret":         {ringOf(t, "gate", 2), "purpose", sealed, []string{"a", "bc"}, false},
		"bound to nothing":       {ring, "purpose", sealed, nil, false},
		"bound to less":          {ring, "purpose", sealed, []string{"a"}, false},
		"bound to more":          {ring, "purpose", sealed, []string{"a", "bc", ""}, false},
		"bound otherwise":        {ring, "purpose", sealed, []string{"ab", "c"}, false},
		"bound in another order": {ring, "purpose", sealed, []string{"bc", "a"}, false},
		"bound to what reads so": {ring, "purpose", sealed, []string{"a2:bc"}, false},
		"purpose takes a part":   {ring, "purpose1:a", sealed, []string{"bc"}, false},
		"nothing":                {ring, "purpose", nil, []string{"a", "bc"}, false},
		"cut short":              {ring, "purpose", sealed[:len(sealed)-1], []string{"a", "bc"}, false},
		"the nonce alone":        {ring, "purpose", sealed[:12], []string{"a", "bc"}, false},
		"lengthened":             {ring, "purpose", append(slices.Clone(sealed), 0), []string{"a", "bc"}, false},
	} {
		if got, ok := row.ring.Open(row.purpose, row.sealed, row.bound...); ok != row.opens || ok && string(got) != "text" || !ok && got != nil {
			t.Errorf("%s: got %q, %v", name, got, ok)
		}
	}
	for i := range sealed {
		changed := slices.Clone(sealed)
		changed[i] ^= 1
		if _, ok := ring.Open("purpose", changed, "a", "bc"); ok {
			t.Errorf("byte %d does not matter", i)
		}
	}
	if again := ring.Seal("purpose", []byte("text"), "a", "bc"); bytes.Equal(again, sealed) {
		t.Error("a nonce was used twice (CVE-2021-32791)")
	}
}

// The gate and purpose are bound even where a derived key were shared.
func TestAdditional(t *testing.T) {
	t.Parallel()
	ring := ringOf(t, "g", 1)
	if got := string(ring.additional("purpose", []string{"a", ""})); got != "1:g7:purpose1:a0:" {
		t.Errorf("got %q", got)
	}
}

// A rotation harms nobody: the new secret comes first, the old one still opens
// and checks; once it is gone, so is what it sealed.
func TestRotation(t *testing.T) {
	t.Parallel()
	before, during, after := ringOf(t, "gate", 1), ringOf(t, "gate", 2, 1), ringOf(t, "gate", 2)
	old, oldMAC := before.Seal("p", []byte("old")), before.MAC("p", []byte("data"))
	fresh, freshMAC := during.Seal("p", []byte("new")), during.MAC("p", []byte("data"))
	for name, row := range map[string]struct {
		ring       *Keyring
		old, fresh bool
	}{
		"before": {before, true, false}, "during": {during, true, true}, "after": {after, false, true},
	} {
		if _, ok := row.ring.Open("p", old); ok != row.old || row.ring.CheckMAC("p", []byte("data"), oldMAC) != row.old {
			t.Errorf("%s: the old value opens: %v", name, ok)
		}
		if _, ok := row.ring.Open("p", fresh); ok != row.fresh || row.ring.CheckMAC("p", []byte("data"), freshMAC) != row.fresh {
			t.Errorf("%s: the new value opens: %v", name, ok)
		}
	}
}

func TestCheckMAC(t *testing.T) {
	t.Parallel()
	ring, data := ringOf(t, "gate", 2, 1), []byte("data")
	mac := ring.MAC("p", data)
	if len(mac) != 32 || bytes.Equal(mac, ring.MAC("q", data)) || bytes.Equal(mac, ringOf(t, "gate2", 2).MAC("p", data)) {
		t.Error("macs of two purposes or gates are the same")
	}
	if bytes.Equal(ring.key(derivedKey{0, "mac", "p"}), ring.key(derivedKey{0, "aead", "p"})) {
		t.Error("one key for two kinds of use")
	}
	for n := range 40 {
		given := append(slices.Clone(mac), make([]byte, 8)...)[:n]
		if got, want := ring.CheckMAC("p", data, given), n >= 8 && n <= 32; got != want {
			t.Errorf("%d bytes: got %v", n, got)
		}
	}
	for i := range 8 {
		wrong := slices.Clone(mac[:8])
		wrong[i] ^= 1
		if ring.CheckMAC("p", data, wrong) {
			t.Errorf("byte %d does not matter", i)
		}
	}
	if ring.CheckMAC("p", []byte("Data"), mac) || ring.CheckMAC("q", data, mac) || ring.CheckMAC("p", data, nil) {
		t.Error("it fits other data, another purpose, or nothing")
	}
}

// One value has one spelling: else a cookie that was ended comes back as another.
func TestOpenText(t *testing.T) {
	t.Parallel()
	ring := ringOf(t, "gate", 1)
	var sealed string // one whose last character has bits to spare
	for _, text := range []string{"a", "ab", "abc"} {
		if sealed = ring.SealText("p", []byte(text)); len(sealed)%4 == 2 {
			break
		}
	}
	if _, ok := ring.OpenText("p", sealed); !ok {
		t.Fatal("it does not open")
	}
	half := len(sealed) / 2
	last := sealed[len(sealed)-1]
	alphabet := "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	spare := alphabet[strings.IndexByte(alphabet, last)|1]
	for name, text := range map[string]string{
		"line feed behind":     sealed + "\n",
		"line feed before":     "\n" + sealed,
		"line feed within":     sealed[:half] + "\n" + sealed[half:],
		"return behind":        sealed + "\r",
		"return within":        sealed[:half] + "\r" + sealed[half:],
		"both within":          sealed[:half] + "\r\n" + sealed[half:],
		"four returns":         sealed + "\r\r\r\r",
		"padding":              sealed + "=",
		"two of padding":       sealed + "==",
		"space":                sealed + " ",
		"the other alphabet":   strings.NewReplacer("-", "+", "_", "/").Replace(sealed) + "+",
		"spare bits":           sealed[:len(sealed)-1] + string(spare),
		"empty":                "",
		"one character":        "A",
		"a character too many": sealed + "A",
	} {
		if _, ok := ring.OpenText("p", text); ok {
			t.Errorf("%s: it opens", name)
		}
	}
}

func FuzzOpenText(f *testing.F) {
	ring := ringOf(f, "gate", 2, 1)
	sealed := ring.SealText("p", []byte("text"), "bound")
	for _, seed := range []string{sealed, sealed + "\n", sealed + "=", ringOf(f, "gate", 1).SealText("p", []byte("text"), "bound"), "", "A", "!", strings.Repeat("A", 5000)} {
		f.Add(seed)
	}
	old := ringOf(f, "gate", 1).SealText("p", []byte("text"), "bound")
	f.Add(old)
	f.Fuzz(func(t *testing.T, text string) {
		if got, ok := ring.OpenText("p", text, "bound"); ok && string(got) != "text" {
			t.Errorf("%q opens as %q", text, got)
		}
		if _, ok := ring.OpenText("p", text, "other"); ok {
			t.Errorf("%q opens bound to something else", text)
		}
	})
}

func TestDeriveKey(t *testing.T) {
	t.Parallel()
	secret := make([]byte, 32)
	seen := map[string]bool{}
	for _, key := range [][]byte{
		DeriveKey(secret, "g", "p"), DeriveKey(secret, "g", "q"), DeriveKey(secret, "h", "p"), DeriveKey(secret, "gp", ""),
		DeriveKey(bytes.Repeat([]byte{1}, 32), "g", "p"),
	} {
		if len(key) != 32 {
			t.Errorf("%d bytes", len(key))
		}
		seen[string(key)] = true
	}
	if len(seen) != 5 {
		t.Errorf("%d different keys, want 5", len(seen))
	}
	if !bytes.Equal(DeriveKey(secret, "g", "p"), DeriveKey(secret, "g", "p")) {
		t.Error("it is not the same twice")
	}
}

// All that is derived is derived once, by whoever comes first.
func TestKeyringAtOnce(t *testing.T) {
	t.Parallel()
	ring := ringOf(t, "gate", 2, 1)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if got, ok := ring.OpenText("p", ring.SealText("p", []byte("x"))); !ok || string(got) != "x" || !ring.CheckMAC("p", got, ring.MAC("p", got)) {
				t.Error("it does not open")
			}
		})
	}
	wg.Wait()
}
