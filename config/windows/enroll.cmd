@echo off
rem Enrols this machine, step by step: run it as often as you like, from a start-up script, a software distribution or
rem by hand, as an administrator where the package installs for the machine. Each run does what can be done now.
rem
rem Put it beside ptc-enroll.exe with the folder "config" of the package and a file answers.toml:
rem
rem     email = "admin@operator.example"
rem     locality = "Paris"
rem
rem Ends with 0 where the certificate is installed and works, else with the exit code of ptc-enroll:
rem     4 refused   5 waits for the approval   6 network, come back later   8 store or rights

setlocal
set "PTC_ENROLL_HOME=%~dp0."
set ENROLL="%~dp0ptc-enroll.exe" --no-input

rem "if errorlevel N" means N or more.
%ENROLL% fetch
if errorlevel 4 goto end
%ENROLL% test
if not errorlevel 1 goto end
rem 3: no certificate yet. Anything else is a fault that a new request would not mend.
if errorlevel 4 goto end
if not errorlevel 3 goto end
%ENROLL% submit --answers "%~dp0answers.toml"
if errorlevel 1 goto end
exit /b 5

:end
exit /b %errorlevel%
