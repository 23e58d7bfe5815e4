package wire

//go:generate protoc -I .. --go_out=.. --go_opt=module=peer ../wire/log.proto ../wire/session.proto ../wire/group.proto ../wire/invite.proto ../wire/hook.proto
