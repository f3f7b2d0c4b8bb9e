package romm

import "errors"

// Why a link was not moved; the admin API tells the operator by them what to do.
var (
	// ErrLinkUnknown says that no link is to the RomM account.
	ErrLinkUnknown = errors.New("no link is to a RomM account with this e-mail address or user name")
	// ErrLinkAmbiguous says that more than one account fits the name: its e-mail address fits only one.
	ErrLinkAmbiguous = errors.New("more than one RomM account has this name: name it by its e-mail address")
	// ErrSubjectLinked says that the subject has an account already, whose link must be forgotten first.
	ErrSubjectLinked = errors.New("the subject is linked to another RomM account, forget that link first")
)
