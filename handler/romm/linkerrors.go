// Why a link was not changed. The admin API maps these errors to a status and a text.

package romm

import "errors"

// The errors of Links.Forget, Links.Move and Links.Trust. The admin API decides by them what to tell the
// operator.
var (
	// ErrLinkUnknown: no link leads to the RomM account.
	ErrLinkUnknown = errors.New("no link is to a RomM account with this e-mail address or user name")
	// ErrLinkAmbiguous: several accounts have the name; an e-mail address names one.
	ErrLinkAmbiguous = errors.New("more than one RomM account has this name: name it by its e-mail address")
	// ErrAccountLinked: the account has another subject.
	ErrAccountLinked = errors.New("the RomM account is now linked to another subject, see links list")
	// ErrSubjectLinked: the subject has another account; that link must be forgotten first.
	ErrSubjectLinked = errors.New("the subject is linked to another RomM account, forget that link first")
)
