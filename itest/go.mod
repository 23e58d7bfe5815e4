module peer/itest

go 1.26.0
